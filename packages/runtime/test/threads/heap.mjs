import {
  int,
  lockOSThread,
  makeChan,
  makeSlice,
  newObject,
  numGoroutine,
  parallel,
  pointer,
} from "@gort/runtime";
import { count, isTree, plant, square, sum, Tree } from "./heap-tasks.mjs";
import { runtime } from "./kit.mjs";

const [, , name, n = "4", times = "50", depth = "8"] = process.argv;
const rt = runtime({ gogc: 20 });
const t = performance.now();
const out = await rt.main(function* () {
  if (name === "sum") {
    lockOSThread();
    const numbers = makeSlice(int, 1000);
    for (let i = 0; i < 1000; i++) numbers.set(i, i);
    const result = makeSlice(int, 10);
    const all = [];
    for (let i = 0; i < 10; i++) all.push(rt.go(sum, numbers.slice(100 * i, 100 * i + 100), result, i));
    for (const g of all) yield* g.done();
    return [...result].join();
  }
  if (name === "type" || name === "exported") {
    lockOSThread();
    const result = makeSlice(int, 1);
    const exported = parallel(new URL("heap-tasks.mjs", import.meta.url), "hasTreeType");
    yield* rt.go(name === "type" ? isTree : exported, newObject(Tree), result).done();
    return result.get(0);
  }
  if (name === "chan") {
    lockOSThread();
    const numbers = makeChan(int, 4);
    const squares = makeChan(int);
    const workers = [1, 2, 3].map(() => rt.go(square, numbers, squares));
    rt.go(function* () {
      for (let i = 1; i <= 1000; i++) yield* numbers.send(i);
      numbers.close();
      for (const g of workers) yield* g.done();
      squares.close();
    });
    let total = 0;
    yield* squares.forEach(function* (n) {
      total += n;
    });
    return total;
  }
  if (name !== "free") lockOSThread();
  const forest = makeSlice(pointer(Tree), Number(n));
  const all = [];
  for (let i = 0; i < Number(n); i++)
    all.push(rt.go(plant, forest, i, Number(depth), Number(times), name === "collect"));
  for (const g of all) yield* g.done();
  return [...forest].map(count).join();
});
const m = rt.readMemStats();
console.log(
  out,
  "gc",
  m.NumGC,
  "mallocs",
  m.Mallocs,
  "alloc",
  m.HeapAlloc,
  numGoroutine(),
  (performance.now() - t).toFixed(0),
);
