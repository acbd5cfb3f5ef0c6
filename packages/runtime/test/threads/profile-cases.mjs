// Programs whose profiles, figures and settings cover several threads: `node profile-cases.mjs NAME`.
import { lockOSThread, setBlockProfileRate, setMutexProfileFraction } from "@gort/runtime";
import { setMaxStack, setTraceback } from "@gort/runtime/debug";
import { runtime } from "./kit.mjs";
import * as tasks from "./profile-tasks.mjs";

const cases = {
  *settings(rt) {
    const { kernel, f64 } = rt.memory;
    const at = rt.allocator.malloc(64);
    const all = [];
    const to = [];
    for (let i = 0; i < 2; i++) {
      to.push(rt.allocator.malloc(64));
      all.push(rt.go(tasks.settings, at, 2, to[i], i === 1));
      yield* tasks.until(at, i + 1);
    }
    const there = () => to.map((addr) => [...f64.subarray(addr >>> 3, (addr >>> 3) + 5)].join());
    // Both workers run: they do not get this with their start.
    setBlockProfileRate(2);
    setMutexProfileFraction(3);
    rt.memProfileRate = 4;
    setMaxStack(5 << 20);
    setTraceback("all");
    kernel.store(at + 4, 1);
    yield* tasks.until(at + 8, 2);
    console.log(there().join(" "));
    setTraceback("single");
    kernel.store(at + 4, 2);
    for (const g of all) yield* g.done();
    console.log(there().join(" "), tasks.settingsHere().join());
  },
};

const name = process.argv[2];
const rt = runtime({ gomaxprocs: 3, maxMemory: 256 << 20 });
await rt.main(function* () {
  lockOSThread();
  yield* cases[name](rt);
});
