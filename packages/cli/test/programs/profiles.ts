import {
  type Chan,
  gc,
  go,
  gosched,
  makeChan,
  makeSlice,
  memProfileRate,
  setBlockProfileRate,
  setMutexProfileFraction,
  sleep,
  syscall,
  uint8,
} from "@gort/runtime";
import { writeProfileFile } from "@gort/runtime/pprof";
import { Mutex } from "@gort/runtime/sync";

function* locker(mu: Mutex) {
  yield* mu.lock();
  yield* sleep(5);
  mu.unlock();
}

class Store {
  private readonly kept: unknown[] = [];
  *fill() {
    for (let i = 0; i < 1000; i++) this.kept.push(makeSlice(uint8, 1024));
    yield* gosched();
  }
}

function* waiter(c: Chan<number>) {
  yield* c.recv();
}

const store = new Store();

export default function* main() {
  memProfileRate(1);
  setBlockProfileRate(1);
  setMutexProfileFraction(1);
  const mu = new Mutex();
  const lockers = [1, 2, 3].map(() => go(locker, mu));
  go(function* () {
    yield* store.fill();
  });
  const never = makeChan<number>();
  for (let i = 0; i < 10; i++) go(waiter, never);
  for (const g of lockers) yield* g.done();
  gc();
  gc();
  for (const name of ["heap", "block", "mutex", "goroutine", "goroutineleak", "threadcreate"]) {
    yield* syscall(writeProfileFile(name, `${process.argv[2]}/${name}.pprof`));
    yield* syscall(writeProfileFile(name, `${process.argv[2]}/${name}.txt`, 1));
  }
}
