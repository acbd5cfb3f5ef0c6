// The table that runtime/metrics answers from is the table that the page shows.
import { all, type Description } from "../../packages/memstats/src/metrics.ts";

declare const data: readonly Description[];

export { data };

export default { load: (): readonly Description[] => all() };
