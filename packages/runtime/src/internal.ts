/** For sibling packages only: no promise of stability between versions. */

// cli: workers that load TypeScript
export { setImporter } from "./modules.ts";
export { setDefaultWorker } from "./worker-host.ts";
// cli: what `gort env` shows
export { parseGOGC, parseGOMAXPROCS, parseMemoryLimit } from "./env.ts";
