// Ends workers at random instants: `node kill.mjs SEED ROUNDS`. Each round is a program of its own that collects on
// three threads. Some milliseconds after its begin, or after a worker has done something, the host ends one of its
// workers. Prints how the rounds have ended.
import { Worker } from "node:worker_threads";
import { int, lockOSThread, makeChan, makeSlice, pointer } from "@gort/runtime";
import { count, plant, square, Tree } from "./heap-tasks.mjs";
import { runtime } from "./kit.mjs";
import { randomFrom } from "./random.mjs";

const [, , seed = "1", rounds = "20"] = process.argv;
const GODEBUG = { gccheckmark: 1, clobberfree: 1 };

const random = randomFrom(Number(seed));

/** `working` is called when a worker has done something. */
function* body(rt, working) {
  lockOSThread();
  const forest = makeSlice(pointer(Tree), 4);
  const numbers = makeChan(int, 4);
  const squares = makeChan(int);
  const workers = [1, 2].map(() => rt.go(square, numbers, squares));
  const all = [0, 1, 2, 3].map((i) => rt.go(plant, forest, i, 6, 60, i % 2 === 0));
  let total = 0;
  for (let i = 1; i <= 100; i++) {
    yield* numbers.send(i);
    total += yield* squares.recv();
    if (i === 1) working();
  }
  numbers.close();
  for (const g of [...all, ...workers]) yield* g.done();
  const nodes = [...forest].map(count).join();
  if (total !== 338_350 || nodes !== "127,127,127,127") throw new Error(`${total} and ${nodes}`);
}

async function round() {
  const made = [];
  const workers = () => {
    const w = new Worker(new URL("worker-heap.mjs", import.meta.url));
    made.push(w);
    return w;
  };
  const rt = runtime({ gomaxprocs: 3, gogc: 20, godebug: GODEBUG, workers });
  const early = random(3) === 0;
  const ms = random(early ? 200 : 500);
  const victim = random(3);
  let timer;
  const arm = () => {
    timer = setTimeout(() => made[victim % Math.max(1, made.length)]?.terminate(), ms);
  };
  if (early) arm();
  try {
    await rt.main(() => body(rt, () => early || arm()));
    return "done";
  } catch (e) {
    // Only its message says which of the runtime's own errors this is.
    if (e.code === "ERR_GORT_THROW") return e.message;
    if (e.code?.startsWith("ERR_GORT_")) return e.code;
    throw e;
  } finally {
    clearTimeout(timer);
    rt.close();
  }
}

const ends = {};
for (let i = 0; i < Number(rounds); i++) {
  const end = await round();
  ends[end] = (ends[end] ?? 0) + 1;
}
console.log(JSON.stringify(ends));
