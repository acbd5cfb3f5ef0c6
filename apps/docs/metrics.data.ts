// The page shows the table that runtime/metrics reads.
import { all, type Description } from "../../packages/memstats/src/metrics.ts";

declare const data: readonly Description[];

export { data };

export default { load: (): readonly Description[] => all() };
