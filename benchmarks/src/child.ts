// The measured process of the JavaScript sides: child.js SIDE -bench NAME -n N -warmup W -samples S. Its twin is
// go/main.go: both must treat warm-up, timing and the check alike.
import { parseArgs } from "node:util";
import type { Answer } from "./sides.ts";

/**
 * Runs the work of one sample, `n` operations, and returns the check. If it is asynchronous, the time includes its end.
 */
export type Work = () => string | Promise<string>;
/** Prepares the state of a benchmark, untimed, and returns the work. */
export type Case = (n: number) => Work | Promise<Work>;

/** Cases are loaded by group, so that a process holds only the code that it measures. */
const groups: Record<string, () => Promise<Record<string, Case>>> = {
  gort: async () => (await import("./cases/gort.ts")).cases,
  v8: async () => (await import("./cases/v8.ts")).cases,
  async: async () => (await import("./peers/async.ts")).cases,
  effect: async () => (await import("./peers/effect.ts")).cases,
  "js-csp": async () => (await import("./peers/js-csp.ts")).cases,
  "ts-chan": async () => (await import("./peers/ts-chan.ts")).cases,
  "sql.js": async () => (await import("./peers/sql-js.ts")).cases,
  "@thi.ng/malloc": async () => (await import("./peers/thi-ng-malloc.ts")).cases,
  "@thi.ng/csp": async () => (await import("./peers/thi-ng.ts")).cases,
};

async function main(): Promise<void> {
  const [side = "", ...rest] = process.argv.slice(2);
  const flags = rest.map((arg) => (/^-[a-z]/.test(arg) ? `-${arg}` : arg));
  const { values } = parseArgs({
    args: flags,
    options: {
      bench: { type: "string" },
      n: { type: "string" },
      warmup: { type: "string" },
      samples: { type: "string" },
    },
  });
  const name = values.bench ?? "";
  const n = Number(values.n);
  const prepare = (await groups[side]?.())?.[name];
  if (prepare === undefined) throw new Error(`${side} has no benchmark named ${JSON.stringify(name)}`);
  const work = await prepare(n);

  const samples: number[] = [];
  const cpu: number[] = [];
  let check: string | undefined;
  const warmup = Number(values.warmup);
  for (let i = 0; i < warmup + Number(values.samples); i++) {
    const cpuBefore = process.cpuUsage();
    const start = process.hrtime.bigint();
    const produced = await work();
    const elapsed = Number(process.hrtime.bigint() - start);
    const { user, system } = process.cpuUsage(cpuBefore);
    if (check !== undefined && produced !== check)
      throw new Error(`${name}: ${check} in one run, ${produced} in another`);
    check = produced;
    if (i < warmup) continue;
    samples.push(elapsed / n);
    cpu.push(((user + system) * 1000) / n);
  }
  const answer: Answer = { name, samples, cpu, check: check ?? "" };
  process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0));
}

await main();
