/**
 * Where queues and locks stop scaling: the scheduler of threads on 2 to 256 simulated processors. simulation.ts has the
 * model. Prints a table for each workload, in Markdown.
 *
 *     pnpm build && node bench/scaling.bench.ts [line=80]      (Node 22.18 or later)
 *
 * The argument is the time in ns for a cache line to move from one core to another.
 */
import { type Arrival, COSTS, simulate, type Task } from "./simulation.ts";

const US = 1000;
const PS = [2, 4, 8, 16, 32, 64, 128, 256];

function xorshift(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x & 0x3fffffff;
  };
}

function repeat(n: number, work: number): Task[] {
  return Array.from({ length: n }, () => ({ work, spawns: [] }));
}

/** A tree of tasks: each inner one splits the work in two, as quicksort does. */
function tree(depth: number, leaf: number): Task {
  if (depth === 0) return { work: leaf, spawns: [] };
  return { work: 0.5 * US, spawns: [tree(depth - 1, leaf), tree(depth - 1, leaf)] };
}

interface Workload {
  readonly name: string;
  readonly what: string;
  arrivals(ps: number): Arrival[];
}

const workloads: Workload[] = [
  {
    name: "Fork-join tree",
    what: "65,536 leaves of 20 us; each inner task puts two tasks and computes for 0.5 us",
    arrivals: () => [{ at: 0, tasks: [tree(16, 20 * US)] }],
  },
  {
    name: "One producer",
    what: "one task puts 40,000 tasks of 5 us, one each 0.2 us",
    arrivals: () => [{ at: 0, tasks: [{ work: 0, gap: 0.2 * US, spawns: repeat(40_000, 5 * US) }] }],
  },
  {
    name: "Many producers",
    what: "as many producers as Ps, each with 400 tasks of 5 us, one each 0.2 us",
    arrivals: (ps) => [
      {
        at: 0,
        tasks: Array.from({ length: ps }, () => ({
          work: 0,
          gap: 0.2 * US,
          spawns: repeat(400, 5 * US),
        })),
      },
    ],
  },
  {
    name: "Bursts",
    what: "each 2 ms 16 tasks of 50 us for each P arrive at one thread, 20 times",
    arrivals: (ps) =>
      Array.from({ length: 20 }, (_, k) => ({ at: k * 2e6, tasks: repeat(16 * ps, 50 * US) })),
  },
];

const percent = (x: number): string => `${(100 * x).toFixed(x < 0.1 ? 1 : 0)} %`;

const line = Number(process.argv[2] ?? COSTS.line);
const costs = { ...COSTS, line };
console.log(`Costs in ns: ${JSON.stringify(costs)}.\n`);
for (const { name, what, arrivals } of workloads) {
  console.log(`**${name}**: ${what}.\n`);
  console.log(
    "| Ps | ms | busy | speedup | steals | tasks a steal | wakes | lock wait | SCHED lines | other lines |",
  );
  console.log("| --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |");
  for (const ps of PS) {
    const all = arrivals(ps);
    const f = simulate(ps, all, xorshift(1), costs);
    // Of several arrivals, the time is that of the last one.
    const speedup = f.work / all.length / f.last;
    const time = ps * f.last * all.length;
    console.log(
      `| ${[
        ps,
        (f.last / 1e6).toFixed(2),
        percent(speedup / ps),
        speedup.toFixed(1),
        f.steals,
        f.steals === 0 ? "-" : (f.stolen / f.steals).toFixed(1),
        f.wakes,
        percent(f.lockWait / time),
        percent(f.schedLines / time),
        percent(f.otherLines / time),
      ].join(" | ")} |`,
    );
  }
  console.log("");
}
