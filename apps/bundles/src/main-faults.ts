/** Workers that cannot start: the scenario is the file of their module. */
import { host } from "./host.ts";
import { run } from "./program.ts";

const given = host(() => new Worker(new URL(given.scenario, import.meta.url), { type: "module" }));

await run({ ...given, scenario: "sums" });
