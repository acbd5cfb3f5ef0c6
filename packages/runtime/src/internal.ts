/** For sibling packages only: no promise of stability between versions. */

// cli: what `gort env` shows
export { parseGOGC, parseGOMAXPROCS, parseMemoryLimit } from "./env.ts";
