// Programs whose tasks share data on several threads: `node locks.mjs NAME`. Prints what the data is at the end.
import { int32, lockOSThread, makeSlice, newObject } from "@gort/runtime";
import { runtime } from "./kit.mjs";
import * as tasks from "./lock-tasks.mjs";

const rt = runtime({ gogc: 50 });
const TASKS = 6;

function* all(start) {
  const handles = Array.from({ length: TASKS }, (_, i) => start(i));
  for (const g of handles) yield* g.done();
}

const programs = {
  *mutex() {
    const account = newObject(tasks.Account);
    yield* all(() => rt.go(tasks.deposit, arrived, account, 2000));
    return account.balance;
  },
  *rwMutex() {
    const pair = newObject(tasks.Pair);
    yield* all((i) =>
      i < 2 ? rt.go(tasks.write, arrived, pair, 500) : rt.go(tasks.read, arrived, pair, 500),
    );
    return [pair.a, pair.b, pair.unequal];
  },
  *cond() {
    const buffer = newObject(tasks.Buffer, { left: 600 });
    yield* all((i) =>
      i < 3
        ? rt.go(tasks.produce, arrived, buffer, 200 * i + 1, 200 * i + 200)
        : rt.go(tasks.consume, arrived, buffer),
    );
    return [buffer.sum, buffer.n, buffer.left];
  },
  *once() {
    const s = newObject(tasks.Start);
    for (let i = 0; i < 50; i++) {
      s.wg.add(1);
      rt.go(tasks.start, arrived, s);
    }
    yield* s.wg.wait();
    return [s.ran, s.seen.load()];
  },
  *pointers() {
    const shared = newObject(tasks.Shared);
    yield* all((i) => rt.go(tasks.replace, arrived, shared, 200, i));
    const last = shared.node.load();
    return [shared.total.load() + BigInt(last.n), shared.broken.load(), last.twice - 2 * last.n];
  },
  *counts() {
    const counts = makeSlice(int32, 4);
    yield* all(() => rt.go(tasks.count, arrived, counts, 4000));
    return [...counts];
  },
};

let arrived;
const value = await rt.main(function* () {
  lockOSThread();
  arrived = newObject(int32);
  return yield* programs[process.argv[2]]();
});
console.log(String(value));
