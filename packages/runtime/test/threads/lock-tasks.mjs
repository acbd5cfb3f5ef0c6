// Tasks that share data under locks and by atomic values. What the locks guard is changed by two steps that a goroutine
// of another thread would see half done.
import { gc, gosched, int, newObject, pointer, struct, task } from "@gort/runtime";
import {
  addInt32,
  compareAndSwapInt64,
  fieldRef,
  Int64,
  loadInt32,
  loadInt64,
  Pointer,
} from "@gort/runtime/atomic";
import { cond, mutex, once, rwMutex, waitGroup } from "@gort/runtime/sync";

const { url } = import.meta;

const THREADS = 3;

/**
 * Blocks its thread until THREADS tasks have come here: each is on a thread of its own, and so is what they do next.
 * The other tasks of a program pass.
 */
export function meet(arrived) {
  if (addInt32(arrived, 1) > THREADS) return;
  const until = performance.now() + 10_000;
  while (loadInt32(arrived) < THREADS) {
    if (performance.now() > until) throw new Error(`only ${loadInt32(arrived)} threads have come`);
    Atomics.wait(sleeper, 0, 0, 1);
  }
}
const sleeper = new Int32Array(new SharedArrayBuffer(4));

export const Account = struct("Account", { mu: mutex, balance: int });

export const deposit = task(url, function* deposit(arrived, account, times) {
  meet(arrived);
  const { mu } = account;
  for (let i = 0; i < times; i++) {
    if (!mu.tryLock()) yield* mu.lock();
    const { balance } = account;
    if (i % 16 === 0) yield* gosched();
    account.balance = balance + 1;
    mu.unlock();
  }
});

/** A pair of equal numbers. */
export const Pair = struct("Pair", { mu: rwMutex, a: int, b: int, unequal: int });

export const write = task(url, function* write(arrived, pair, times) {
  meet(arrived);
  const { mu } = pair;
  for (let i = 0; i < times; i++) {
    yield* mu.lock();
    pair.a++;
    if (i % 8 === 0) yield* gosched();
    pair.b++;
    mu.unlock();
  }
});

export const read = task(url, function* read(arrived, pair, times) {
  meet(arrived);
  const { mu } = pair;
  const unequal = fieldRef(pair, "unequal");
  for (let i = 0; i < times; i++) {
    yield* mu.rLock();
    const { a } = pair;
    if (i % 8 === 0) yield* gosched();
    if (a !== pair.b) addInt(unequal);
    mu.rUnlock();
  }
});

function addInt(ref) {
  for (let n = loadInt64(ref); !compareAndSwapInt64(ref, n, n + 1n); n = loadInt64(ref));
}

/** A buffer with room for one number; 0: it is empty. */
export const Buffer = struct("Buffer", { mu: mutex, changed: cond, n: int, sum: int, left: int });

export const produce = task(url, function* produce(arrived, buffer, from, to) {
  meet(arrived);
  const { mu, changed } = buffer;
  for (let i = from; i <= to; i++) {
    yield* mu.lock();
    while (buffer.n !== 0) yield* changed.wait(mu);
    buffer.n = i;
    mu.unlock();
    changed.broadcast();
  }
});

export const consume = task(url, function* consume(arrived, buffer) {
  meet(arrived);
  const { mu, changed } = buffer;
  for (;;) {
    yield* mu.lock();
    while (buffer.n === 0 && buffer.left > 0) yield* changed.wait(mu);
    if (buffer.left === 0) {
      mu.unlock();
      return;
    }
    buffer.sum += buffer.n;
    buffer.n = 0;
    buffer.left--;
    mu.unlock();
    changed.broadcast();
  }
});

export const Start = struct("Start", { once, ran: int, seen: Int64, wg: waitGroup });

export const start = task(url, function* start(arrived, s) {
  meet(arrived);
  yield* s.once.do(function* () {
    yield* gosched();
    s.ran++;
  });
  s.seen.add(BigInt(s.ran));
  s.wg.done();
});

const Node = struct("Node", { n: int, twice: int });
export const Shared = struct("Shared", {
  total: Int64,
  node: Pointer(Node),
  broken: Int64,
  last: pointer(Node),
});

/** Replaces an object that all threads see, and checks each one that it finds, while every thread collects. */
export const replace = task(url, function* replace(arrived, shared, times, seed) {
  meet(arrived);
  for (let i = 1; i <= times; i++) {
    const n = seed * times + i;
    const made = newObject(Node, { n, twice: 2 * n });
    const old = shared.node.swap(made);
    made.release();
    if (old !== null) {
      if (old.twice !== 2 * old.n) shared.broken.add(1n);
      shared.total.add(BigInt(old.n));
      old.release();
    }
    if (i % 50 === seed) gc();
    if (i % 10 === 0) yield* gosched();
  }
});

export const count = task(url, function* count(arrived, counts, times) {
  meet(arrived);
  for (let i = 0; i < times; i++) {
    addInt32(counts.ref(i % 4), 1);
    if (i % 100 === 0) yield* gosched();
  }
});
