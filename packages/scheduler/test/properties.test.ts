import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defaultCase, defaultScheduler, recvCase, type Timer } from "../src/index.ts";
import { Cond, Mutex, Pool, RWMutex, SyncMap, WaitGroup } from "../src/sync/index.ts";
import { poolCleanup } from "../src/sync/pool.ts";
import { run } from "./kit.ts";

describe("locks", () => {
  const step = fc.record({
    locks: fc.subarray([0, 1, 2]),
    hold: fc.constantFrom("none", "gosched", "sleep"),
    tryFirst: fc.boolean(),
    gap: fc.nat(2),
  });

  it("in any program that takes them in order exclude each other, and every waiter gets its lock", () => {
    fc.assert(
      fc.property(fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 8 }), (plans) => {
        run(function* (s) {
          const ms = [new Mutex(), new Mutex(), new Mutex()];
          const inside = [0, 0, 0];
          const entries = [0, 0, 0];
          const wg = new WaitGroup();
          for (const plan of plans) {
            wg.go(function* () {
              for (const { locks, hold, tryFirst, gap } of plan) {
                for (const i of locks) {
                  (tryFirst && ms[i].tryLock()) || (yield* ms[i].lock());
                  expect(++inside[i]).toBe(1);
                  entries[i]++;
                }
                if (hold === "gosched") yield* s.gosched();
                else if (hold === "sleep") yield* s.sleep(2);
                for (const i of locks.toReversed()) {
                  inside[i]--;
                  ms[i].unlock();
                }
                if (gap > 0) yield* s.sleep(gap);
              }
            });
          }
          yield* wg.wait();
          const steps = plans.flat();
          expect(entries).toEqual([0, 1, 2].map((i) => steps.filter((x) => x.locks.includes(i)).length));
          expect(ms.map((m) => m.tryLock())).toEqual([true, true, true]);
        });
      }),
    );
  });

  it("go to waiters in order of arrival once a waiter starves, and no goroutine overtakes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ hold: fc.nat(3), again: fc.boolean() }), { minLength: 2, maxLength: 8 }),
        (waiters) => {
          run(function* (s) {
            const m = new Mutex();
            const order: number[] = [];
            let second = 0;
            const wg = new WaitGroup();
            yield* m.lock();
            for (const [i, { hold, again }] of waiters.entries()) {
              wg.go(function* () {
                yield* s.sleep(i / 100);
                yield* m.lock();
                order.push(i);
                if (hold > 0) yield* s.sleep(hold);
                m.unlock();
                if (i < waiters.length - 1) expect(m.tryLock()).toBe(false);
                if (!again) return;
                yield* m.lock();
                second++;
                m.unlock();
              });
            }
            yield* s.sleep(5);
            // The first waiter wakes and finds the mutex taken again. From then on the mutex starves.
            m.unlock();
            expect(m.tryLock()).toBe(true);
            yield* s.gosched();
            m.unlock();
            expect(m.tryLock()).toBe(false);
            yield* wg.wait();
            expect(order).toEqual(waiters.map((_, i) => i));
            expect(second).toBe(waiters.filter((w) => w.again).length);
          });
        },
      ),
    );
  });

  interface Visit {
    at: number;
    write: boolean;
    hold: number;
  }

  /** When each visitor of an RWMutex gets in; null if two events have the same time, so that their order is open. */
  function rwModel(visits: readonly Visit[]): number[] | null {
    const entered = visits.map(() => -1);
    const events = visits.map(({ at }, who) => ({ at, who, leave: false }));
    let readers = 0;
    /** The writer inside, or the first waiting writer. */
    let first = -1;
    let writing = false;
    const waitingReaders: number[] = [];
    const waitingWriters: number[] = [];
    const enter = (who: number, now: number) => {
      entered[who] = now;
      if (visits[who].write) writing = true;
      else readers++;
      events.push({ at: now + visits[who].hold, who, leave: true });
    };
    for (let last = -1; events.length > 0; ) {
      events.sort((a, b) => a.at - b.at);
      const { at, who, leave } = events.shift()!;
      if (at === last) return null;
      last = at;
      if (!leave) {
        if (!visits[who].write) {
          if (first >= 0) waitingReaders.push(who);
          else enter(who, at);
        } else if (first >= 0) waitingWriters.push(who);
        else {
          first = who;
          if (readers === 0) enter(who, at);
        }
      } else if (visits[who].write) {
        writing = false;
        for (const r of waitingReaders.splice(0)) enter(r, at);
        first = waitingWriters.shift() ?? -1;
        if (first >= 0 && readers === 0) enter(first, at);
      } else if (--readers === 0 && first >= 0 && !writing) enter(first, at);
    }
    return entered;
  }

  it("for reading and writing admit each at the time of the rule: writers first, then all waiting readers", () => {
    let compared = 0;
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            at: fc.integer({ min: 1, max: 400 }),
            write: fc.boolean(),
            hold: fc.integer({ min: 1, max: 150 }),
          }),
          { maxLength: 10 },
        ),
        (visits) => {
          const want = rwModel(visits);
          if (want === null) return;
          compared++;
          run(function* (s) {
            const rw = new RWMutex();
            const wg = new WaitGroup();
            const entered: number[] = [];
            for (const [i, { at, write, hold }] of visits.entries()) {
              wg.go(function* () {
                yield* s.sleep(at);
                yield* write ? rw.lock() : rw.rLock();
                entered[i] = s.clock.now();
                yield* s.sleep(hold);
                if (write) rw.unlock();
                else rw.rUnlock();
              });
            }
            yield* wg.wait();
            expect(entered).toEqual(want);
            expect(rw.tryLock()).toBe(true);
          });
        },
      ),
      { numRuns: 300 },
    );
    expect(compared).toBeGreaterThan(100);
  });
});

describe("WaitGroup", () => {
  it("wakes all waiters when the last goroutine has ended and not before, in every round", () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat(20), { maxLength: 6 }), { maxLength: 4 }), (rounds) => {
        run(function* (s) {
          const wg = new WaitGroup();
          for (const times of rounds) {
            const start = s.clock.now();
            for (const ms of times) {
              wg.go(function* () {
                yield* s.sleep(ms);
              });
            }
            const woke: number[] = [];
            const all = new WaitGroup();
            for (let i = 0; i < 3; i++) {
              all.go(function* () {
                yield* wg.wait();
                woke.push(s.clock.now() - start);
              });
            }
            yield* all.wait();
            expect(woke).toEqual(Array(3).fill(Math.max(0, ...times)));
          }
        });
      }),
    );
  });
});

describe("Cond", () => {
  it("loses no wake-up between producers and consumers of a bounded buffer", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 5 }),
        fc.boolean(),
        (size, producers, consumers, pause) => {
          const total = producers.reduce((a, b) => a + b, 0);
          const taken = run(function* (s) {
            const m = new Mutex();
            const notEmpty = new Cond(m);
            const notFull = new Cond(m);
            const buffer: number[] = [];
            let taken = 0;
            const wg = new WaitGroup();
            for (const n of producers) {
              wg.go(function* () {
                for (let i = 0; i < n; i++) {
                  yield* m.lock();
                  while (buffer.length === size) yield* notFull.wait();
                  buffer.push(i);
                  notEmpty.signal();
                  m.unlock();
                  if (pause) yield* s.sleep(i % 3);
                }
              });
            }
            for (let k = 0; k < consumers; k++) {
              const share = Math.floor(total / consumers) + (k < total % consumers ? 1 : 0);
              wg.go(function* () {
                for (let i = 0; i < share; i++) {
                  yield* m.lock();
                  while (buffer.length === 0) yield* notEmpty.wait();
                  buffer.shift();
                  taken++;
                  notFull.signal();
                  m.unlock();
                  if (!pause) yield* s.gosched();
                }
              });
            }
            yield* wg.wait();
            expect(buffer).toEqual([]);
            return taken;
          });
          expect(taken).toBe(total);
        },
      ),
    );
  });
});

describe("Pool", () => {
  it("gives an object to one user at a time, makes one only when empty, and keeps each for one collection", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("get", "get", "put", "put", "collect"), { maxLength: 80 }),
        (ops) => {
          let made = 0;
          const p = new Pool(() => ({ id: made++ }));
          const out: { id: number }[] = [];
          let local = new Set<{ id: number }>();
          let victims = new Set<{ id: number }>();
          for (const op of ops) {
            if (op === "collect") {
              poolCleanup(defaultScheduler());
              victims = local;
              local = new Set();
            } else if (op === "put") {
              const x = out.shift();
              if (x === undefined) continue;
              local.add(x);
              p.put(x);
            } else {
              const before = made;
              const x = p.get();
              expect(out).not.toContain(x);
              out.push(x);
              const from = local.size > 0 ? local : victims;
              if (from.size > 0) expect(from.delete(x)).toBe(true);
              else expect([x.id, made]).toEqual([before, before + 1]);
            }
          }
        },
      ),
    );
  });
});

describe("SyncMap", () => {
  it("gives the answers of a Map for all sequences of operations", () => {
    const names = [
      "load",
      "store",
      "loadOrStore",
      "loadAndDelete",
      "delete",
      "swap",
      "compareAndSwap",
      "compareAndDelete",
      "clear",
    ] as const;
    const value = fc.constantFrom(0, 1, Number.NaN, undefined);
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            name: fc.constantFrom(...names),
            key: fc.constantFrom("a", "b", "c"),
            old: value,
            value,
          }),
          { maxLength: 60 },
        ),
        (ops) => {
          const m = new SyncMap<string, number | undefined>();
          const want = new Map<string, number | undefined>();
          for (const { name, key, old, value } of ops) {
            const before = { value: want.get(key), ok: want.has(key) };
            const same = before.ok && Object.is(before.value, old);
            switch (name) {
              case "load":
                expect(m.load(key)).toEqual(before);
                break;
              case "store":
                m.store(key, value);
                want.set(key, value);
                break;
              case "loadOrStore":
                expect(m.loadOrStore(key, value)).toEqual(before.ok ? before : { value, ok: false });
                if (!before.ok) want.set(key, value);
                break;
              case "loadAndDelete":
                expect(m.loadAndDelete(key)).toEqual(before);
                want.delete(key);
                break;
              case "delete":
                m.delete(key);
                want.delete(key);
                break;
              case "swap":
                expect(m.swap(key, value)).toEqual(before);
                want.set(key, value);
                break;
              case "compareAndSwap":
                expect(m.compareAndSwap(key, old, value)).toBe(same);
                if (same) want.set(key, value);
                break;
              case "compareAndDelete":
                expect(m.compareAndDelete(key, old)).toBe(same);
                if (same) want.delete(key);
                break;
              default:
                m.clear();
                want.clear();
            }
            const entries: [string, number | undefined][] = [];
            m.range((k, v) => void entries.push([k, v]));
            expect(new Map(entries)).toEqual(want);
          }
        },
      ),
    );
  });
});

describe("timers", () => {
  /**
   * What a timer or ticker should do, told by its definition alone: `due` is the next firing, `period` 0 for a timer.
   */
  class Model {
    due: number | null = null;
    period = 0;

    set(now: number, ms: number, period: number): void {
      this.due = now + Math.max(ms, 0);
      this.period = period;
    }
    /** The time in the value that a receive at `now` gets, or null. A ticker skips ticks without a receiver. */
    receive(now: number): number | null {
      const at = this.due;
      if (at === null || at > now) return null;
      this.due = this.period === 0 ? null : at + this.period * (1 + Math.floor((now - at) / this.period));
      return at;
    }
  }

  const op = fc.record({
    kind: fc.constantFrom("look", "wait", "stop", "reset", "sleep", "func"),
    which: fc.nat(3),
    ms: fc.integer({ min: 0, max: 12 }),
  });

  it("and tickers deliver exactly the due values, and none from before stop or reset, in any schedule", () => {
    fc.assert(
      fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
        run(function* (s) {
          const start = s.clock.wall() - s.clock.now();
          const models = Array.from({ length: 4 }, () => new Model());
          const timers = [s.newTimer(5), s.newTimer(0), s.newTicker(3), s.newTicker(7)];
          for (const [i, ms] of [5, 0, 3, 7].entries()) models[i].set(0, ms, i < 2 ? 0 : ms);

          let funcDue: number | null = null;
          let funcRuns = 0;
          let wantRuns = 0;
          let lastRun = -1;
          const func = s.afterFunc(1e9, () => {
            funcRuns++;
            lastRun = s.clock.now();
          });
          func.stop();

          for (const { kind, which, ms } of ops) {
            const m = models[which];
            const t = timers[which];
            const now = s.clock.now();
            switch (kind) {
              case "look": {
                const want = m.receive(now);
                const r = yield* s.select([recvCase(t.C), defaultCase]);
                expect(r.index === 0 ? (r.value as number) - start : null).toBe(want);
                expect([t.C.length, t.C.capacity]).toEqual([0, 0]);
                break;
              }
              case "wait": {
                const deadline = now + ms;
                const due = m.due;
                const r = yield* s.select([recvCase(t.C), recvCase(s.after(ms))]);
                if (r.index === 0) {
                  expect(s.clock.now()).toBe(Math.max(now, due!));
                  expect(due!).toBeLessThanOrEqual(deadline);
                  expect((r.value as number) - start).toBe(m.receive(s.clock.now()));
                } else {
                  expect(s.clock.now()).toBe(deadline);
                  expect(due ?? Infinity).toBeGreaterThanOrEqual(ms === 0 ? 0 : deadline);
                }
                break;
              }
              case "stop": {
                const stopped = t.stop();
                if (which < 2) expect(stopped).toBe(m.due !== null);
                m.due = null;
                break;
              }
              case "reset":
                if (which < 2) expect((t as Timer).reset(ms)).toBe(m.due !== null);
                else t.reset(ms + 1);
                m.set(now, which < 2 ? ms : ms + 1, which < 2 ? 0 : ms + 1);
                break;
              case "sleep":
                yield* s.sleep(ms);
                break;
              default:
                if (which === 0) {
                  expect(func.stop()).toBe(funcDue !== null);
                  funcDue = null;
                } else {
                  expect(func.reset(ms)).toBe(funcDue !== null);
                  funcDue = now + ms;
                }
            }
            yield* s.wait();
            if (funcDue !== null && funcDue <= s.clock.now()) {
              wantRuns++;
              expect(lastRun).toBe(funcDue);
              funcDue = null;
            }
            expect(funcRuns).toBe(wantRuns);
          }
          func.stop();
        });
      }),
      { numRuns: 300 },
    );
  });
});
