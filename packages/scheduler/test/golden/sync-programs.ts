/** Programs with locks and the other types of sync, and with contexts. */

import * as context from "../../src/context.ts";
import { defer, frame, go, gosched, makeChan, panic, recover, sleep } from "../../src/index.ts";
import { Cond, Mutex, Once, onceFunc, onceValue, RWMutex, SyncMap, WaitGroup } from "../../src/sync/index.ts";
import { type Body, lcg, type Program } from "./program.ts";

export const syncPrograms: Record<string, Program> = {
  *philosophers(println) {
    const n = 5;
    const forks = Array.from({ length: n }, () => new Mutex());
    const wg = new WaitGroup();
    const eaten = new Array<number>(n).fill(0);
    for (let i = 0; i < n; i++) {
      wg.go(function* () {
        const a = Math.min(i, (i + 1) % n);
        const b = Math.max(i, (i + 1) % n);
        for (let meal = 0; meal < 3; meal++) {
          yield* forks[a].lock();
          yield* sleep(1);
          yield* forks[b].lock();
          eaten[i]++;
          yield* sleep(1);
          forks[b].unlock();
          forks[a].unlock();
        }
      });
    }
    yield* wg.wait();
    println("eaten", eaten);
  },

  *boundedbuffer(println) {
    const mu = new Mutex();
    const notFull = new Cond(mu);
    const notEmpty = new Cond(mu);
    const items: number[] = [];
    function* put(x: number): Body {
      yield* mu.lock();
      while (items.length === 3) yield* notFull.wait();
      items.push(x);
      notEmpty.signal();
      mu.unlock();
    }
    function* get(): Body<number> {
      return (yield* frame(function* () {
        yield* mu.lock();
        defer(() => mu.unlock());
        while (items.length === 0) yield* notEmpty.wait();
        const x = items.shift()!;
        notFull.signal();
        return x;
      }))!;
    }
    for (let p = 0; p < 3; p++) {
      go(function* () {
        for (let i = 0; i < 10; i++) yield* put(p * 100 + i);
      });
    }
    const next = [0, 0, 0];
    let ordered = true;
    let sum = 0;
    for (let i = 0; i < 30; i++) {
      const x = yield* get();
      sum += x;
      const p = Math.trunc(x / 100);
      if (x % 100 !== next[p]) ordered = false;
      next[p]++;
    }
    println(sum, ordered, next);
  },

  *barrier(println) {
    const bmu = new Mutex();
    const cond = new Cond(bmu);
    let count = 0;
    let generation = 0;
    function* wait(): Body {
      yield* frame(function* () {
        yield* bmu.lock();
        defer(() => bmu.unlock());
        const gen = generation;
        if (++count === 4) {
          count = 0;
          generation++;
          cond.broadcast();
          return;
        }
        while (gen === generation) yield* cond.wait();
      });
    }
    const wg = new WaitGroup();
    const mu = new Mutex();
    const phase = [0, 0, 0];
    let bad = 0;
    for (let g = 0; g < 4; g++) {
      wg.go(function* () {
        for (let p = 0; p < 3; p++) {
          yield* mu.lock();
          phase[p]++;
          mu.unlock();
          yield* wait();
          yield* mu.lock();
          if (phase[p] !== 4) bad++;
          mu.unlock();
        }
      });
    }
    yield* wg.wait();
    println(phase, bad);
  },

  *contexttree(println) {
    const user = "main.key";
    const root = context.withValue(context.background(), user, "gopher");
    const { ctx: a, cancel: cancelA } = context.withCancelCause(root);
    const { ctx: b, cancel: cancelB } = context.withTimeout(a, 3_600_000);
    const { ctx: c, cancel: cancelC } = context.withTimeout(b, 5);
    defer(cancelB);
    defer(cancelC);
    const free = context.withoutCancel(b);
    const ran = makeChan<string>(1);
    context.afterFunc(a, function* () {
      yield* ran.send("after func");
    });
    const stop = context.afterFunc(a, function* () {
      yield* ran.send("never");
    });
    println("stopped", stop(), stop());
    yield* c.done()!.recv();
    println("c", c.err(), context.cause(c), "b", b.err());
    cancelA(new Error("enough"));
    yield* b.done()!.recv();
    println("b", b.err(), context.cause(b));
    println("c", c.err(), context.cause(c));
    println("free", free.err(), free.value(user), free.done() === null);
    println(yield* ran.recv());
    println(a.deadline() !== null, c.deadline() !== null, b.value(user), b.value("none"));
    const { ctx: d, cancel: cancelD } = context.withCancel(a);
    println("d", d.err(), context.cause(d));
    cancelD();
    println(c.err() === context.deadlineExceeded, a);
  },

  *once(println) {
    const o = new Once();
    const wg = new WaitGroup();
    let n = 0;
    for (let i = 0; i < 10; i++) {
      wg.go(function* () {
        yield* o.do(() => n++);
      });
    }
    yield* wg.wait();
    println(n);
    const p = new Once();
    yield* frame(function* () {
      defer(() => println(recover()));
      yield* p.do(() => panic("in once"));
    });
    yield* p.do(() => println("not again"));
    let calls = 0;
    const v = onceValue(() => {
      calls++;
      return 42;
    });
    println(yield* v(), yield* v(), calls);
    const f = onceFunc(() => panic("each time"));
    for (let i = 0; i < 2; i++) {
      yield* frame(function* () {
        defer(() => println(recover()));
        yield* f();
      });
    }
  },

  *rwmutex(println) {
    const rw = new RWMutex();
    const wg = new WaitGroup();
    const reader = (name: string, at: number, hold: number) =>
      wg.go(function* () {
        yield* sleep(at);
        yield* rw.rLock();
        println(`${name} in`);
        yield* sleep(hold);
        println(`${name} out`);
        rw.rUnlock();
      });
    const writer = (name: string, at: number, hold: number) =>
      wg.go(function* () {
        yield* sleep(at);
        yield* rw.lock();
        println(`${name} in`);
        yield* sleep(hold);
        println(`${name} out`);
        rw.unlock();
      });
    reader("r1", 0, 100);
    reader("r2", 20, 40);
    writer("w1", 40, 40);
    reader("r3", 80, 20);
    writer("w2", 160, 20);
    yield* wg.wait();
    println(rw.tryLock(), rw.tryRLock(), rw.tryLock());
    rw.unlock();
    println(rw.tryRLock(), rw.tryRLock(), rw.tryLock());
  },

  *bank(println) {
    const accounts = new Array<number>(10).fill(100);
    const locks = accounts.map(() => new Mutex());
    const wg = new WaitGroup();
    for (let g = 0; g < 8; g++) {
      wg.go(function* () {
        let x = g + 1;
        for (let i = 0; i < 500; i++) {
          x = lcg(x);
          const a = (x >> 8) % 10;
          const b = (x >> 16) % 10;
          if (a === b) continue;
          const lo = locks[Math.min(a, b)];
          const hi = locks[Math.max(a, b)];
          lo.tryLock() || (yield* lo.lock());
          hi.tryLock() || (yield* hi.lock());
          const v = Math.trunc(accounts[a] / 10);
          accounts[a] -= v;
          yield* gosched();
          accounts[b] += v;
          hi.unlock();
          lo.unlock();
        }
      });
    }
    yield* wg.wait();
    println(accounts.reduce((a, b) => a + b));
  },

  *syncmap(println) {
    const m = new SyncMap<string, number>();
    const both = (r: { value: number | undefined; ok: boolean }) => println(r.value, r.ok);
    m.store("a", 1);
    both(m.load("a"));
    both(m.load("b"));
    both(m.loadOrStore("a", 2));
    both(m.loadOrStore("b", 3));
    both(m.swap("a", 4));
    println(
      m.compareAndSwap("a", 4, 5),
      m.compareAndSwap("a", 4, 6),
      m.compareAndDelete("b", 9),
      m.compareAndDelete("b", 3),
    );
    both(m.loadAndDelete("a"));
    both(m.loadAndDelete("a"));
    m.store("x", 1);
    m.clear();
    let n = 0;
    m.range(() => {
      n++;
    });
    println(n);
  },
};
