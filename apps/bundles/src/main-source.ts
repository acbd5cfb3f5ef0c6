/** For hosts that load TypeScript: Node's type stripping and tsx. The runtime makes the workers. */
import { host } from "./host.ts";
import { run } from "./program.ts";

await run(host());
