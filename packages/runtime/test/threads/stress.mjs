// Many short tasks on four threads, while the world is stopped and gomaxprocs changes at random:
// `node stress.mjs SEED TASKS`. Prints the sum of their numbers and how many have run.
import { sleep } from "@gort/runtime";
import { runtime } from "./kit.mjs";
import { randomFrom } from "./random.mjs";
import { spread } from "./stress-tasks.mjs";

const PARTS = 16;

const [seed, tasks] = process.argv.slice(2).map(Number);
const random = randomFrom(seed);

const rt = runtime({ gomaxprocs: 4 });
const buf = new Uint8Array(1 << 12);
const result = await rt.main(function* () {
  const at = rt.memory.persistentAlloc(64, 64, "otherSys");
  const { kernel } = rt.memory;
  const part = Math.ceil(tasks / PARTS);
  for (let from = 0; from < tasks; from += part) rt.go(spread, at, from, Math.min(from + part, tasks));
  while (kernel.load(at + 4) < tasks) {
    const what = random(6);
    if (what === 0) rt.gomaxprocs(1 + random(4));
    else if (what === 1) rt.stack(buf, true);
    else if (what === 2) rt.gc();
    else yield* sleep(random(3));
    yield* rt.gosched();
  }
  return `${rt.memory.u32[at >>> 2]} ${kernel.load(at + 4)}`;
});
console.log(result);
