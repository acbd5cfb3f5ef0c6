import type { Addr } from "@gort/memory";
import { createTestScheduler, type TestScheduler, verifyScheduler } from "@gort/scheduler/testing";
import type { BumpHeap } from "@gort/types";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Conds, waitForCond } from "../src/cond.ts";
import { lockMutex, Mutexes } from "../src/mutex.ts";
import { lockRWMutex, RWMutexes } from "../src/rwmutex.ts";
import { WaitGroups, waitForGroup } from "../src/waitgroup.ts";
import { expectNoWaits, machines } from "./locks-kit.ts";

/** Locks of goroutines on several Ms. Posts are late, and programs end while their goroutines wait or hold locks. */

const asAddress = (ref: unknown): number => ref as number;
const above = (): void => {};

interface Machine {
  s: TestScheduler;
  mutexes: Mutexes;
  rws: RWMutexes;
  groups: WaitGroups;
  conds: Conds;
  /** Ends the program of this M, and with it all of its goroutines. */
  kill(): void;
  /** What its goroutines hold. */
  held: Set<() => void>;
}

function setUp(n: number): { ms: Machine[]; deliver(m: number): void; addrs: Addr[]; check(): void } {
  const { envs, inboxes, deliver } = machines(n);
  const { heap } = envs[0];
  const addrs = Array.from({ length: 4 }, () => heap.malloc(64, 0));
  const ms = envs.map((env): Machine => {
    const s = createTestScheduler();
    const stop = s.makeChan<null>(1);
    s.startMain(
      function* () {
        yield* stop.recv();
      },
      () => {},
      (error) => {
        throw error;
      },
    );
    // The M's goroutines are no deadlock: those of other Ms may wake them.
    s.hostWaits(1);
    const held = new Set<() => void>();
    return {
      s,
      mutexes: new Mutexes(env),
      rws: new RWMutexes(env),
      groups: new WaitGroups(env),
      conds: new Conds(env),
      held,
      kill: () => {
        stop.trySend(null);
        s.run();
        const unlocks = [...held];
        held.clear();
        for (const unlock of unlocks) unlock();
      },
    };
  });
  const check = (): void => {
    expect(inboxes.flat()).toEqual([]);
    for (const env of envs) expectNoWaits(env.waiters);
    for (const m of ms) verifyScheduler(m.s);
    expect((heap as BumpHeap).liveRefs).toBe(0);
    for (const m of ms) {
      m.kill();
      m.s.close();
    }
  };
  return { ms, deliver, addrs, check };
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("run" as const), m: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("deliver" as const), m: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("kill" as const), m: fc.nat(2) }) },
);
const plan = fc.array(
  fc.record({
    m: fc.nat(2),
    lock: fc.nat(1),
    write: fc.boolean(),
    hold: fc.nat(3),
    times: fc.integer({ min: 1, max: 3 }),
  }),
  { minLength: 3, maxLength: 14, size: "max" },
);

/** Makes all steps, then runs all Ms until nothing changes. */
function drive(ms: Machine[], deliver: (m: number) => void, steps: readonly object[]): Set<number> {
  const killed = new Set<number>();
  for (const x of steps as { kind: string; m: number; ms: number }[]) {
    if (x.kind === "run") ms[x.m].s.run();
    else if (x.kind === "deliver") deliver(x.m);
    else if (x.kind === "advance") for (const { s } of ms) s.advance(x.ms);
    else if (!killed.has(x.m)) {
      killed.add(x.m);
      ms[x.m].kill();
    }
  }
  for (let i = 0; i < 300; i++) {
    for (let m = 0; m < ms.length; m++) {
      deliver(m);
      ms[m].s.advance(1);
    }
  }
  return killed;
}

describe("goroutines of several Ms", () => {
  it("exclude each other from a mutex, and all get it, though posts are late and programs end", () => {
    fc.assert(
      fc.property(plan, fc.array(step, { maxLength: 60, size: "max" }), (plans, steps) => {
        const { ms, deliver, addrs, check } = setUp(3);
        const inside = [0, 0];
        const done = plans.map(() => 0);
        for (const [i, p] of plans.entries()) {
          const { s, mutexes, held } = ms[p.m];
          const addr = addrs[p.lock];
          const unlock = (): void => {
            inside[p.lock]--;
            mutexes.unlock(addr, above);
          };
          s.go(function* () {
            for (let k = 0; k < p.times; k++) {
              yield* lockMutex(mutexes, addr, asAddress);
              held.add(unlock);
              expect(++inside[p.lock]).toBe(1);
              if (p.hold === 0) yield* s.gosched();
              else yield* s.sleep(p.hold);
              held.delete(unlock);
              unlock();
              done[i]++;
            }
          });
        }
        const killed = drive(ms, deliver, steps);
        for (const [i, p] of plans.entries()) if (!killed.has(p.m)) expect(done[i]).toBe(p.times);
        for (const addr of addrs.slice(0, 2)) expect(ms[0].mutexes.tryLock(addr)).toBe(true);
        check();
      }),
      { numRuns: 150 },
    );
  });

  it("exclude each other from an RWMutex as readers and writers, and all get it", () => {
    fc.assert(
      fc.property(plan, fc.array(step, { maxLength: 60, size: "max" }), (plans, steps) => {
        const { ms, deliver, addrs, check } = setUp(3);
        const readers = [0, 0];
        const writers = [0, 0];
        const done = plans.map(() => 0);
        for (const [i, p] of plans.entries()) {
          const { s, rws, held } = ms[p.m];
          const addr = addrs[p.lock];
          const unlock = (): void => {
            if (p.write) {
              writers[p.lock]--;
              rws.unlock(addr, above);
            } else {
              readers[p.lock]--;
              rws.rUnlock(addr, above);
            }
          };
          s.go(function* () {
            for (let k = 0; k < p.times; k++) {
              yield* lockRWMutex(rws, addr, asAddress, p.write);
              held.add(unlock);
              if (p.write) writers[p.lock]++;
              else readers[p.lock]++;
              if (writers[p.lock] > 0) expect([readers[p.lock], writers[p.lock]]).toEqual([0, 1]);
              if (p.hold === 0) yield* s.gosched();
              else yield* s.sleep(p.hold);
              held.delete(unlock);
              unlock();
              done[i]++;
            }
          });
        }
        const killed = drive(ms, deliver, steps);
        for (const [i, p] of plans.entries()) if (!killed.has(p.m)) expect(done[i]).toBe(p.times);
        for (const addr of addrs.slice(0, 2)) expect(ms[0].rws.tryLock(addr)).toBe(true);
        check();
      }),
      { numRuns: 150 },
    );
  });

  it("wait for a WaitGroup and for a Cond across Ms", () => {
    const { ms, deliver, addrs, check } = setUp(3);
    const [wg, cond, mu] = addrs;
    const log: string[] = [];
    ms[0].groups.add(wg, 6);
    for (const { s, groups, conds, mutexes } of ms) {
      s.go(function* () {
        yield* waitForGroup(groups, wg, asAddress);
        log.push("waited");
      });
      for (let i = 0; i < 2; i++) {
        const l = { lock: () => lockMutex(mutexes, mu, asAddress), unlock: () => mutexes.unlock(mu, above) };
        s.go(function* () {
          yield* l.lock();
          yield* waitForCond(conds, () => cond, l);
          log.push("signalled");
          l.unlock();
          groups.add(wg, -1);
        });
      }
    }
    drive(ms, deliver, []);
    expect(log).toEqual([]);
    ms[1].conds.wake(cond, false);
    drive(ms, deliver, []);
    expect(log).toEqual(["signalled"]);
    ms[2].conds.wake(cond, true);
    drive(ms, deliver, []);
    expect(log.sort()).toEqual([
      ...new Array<string>(6).fill("signalled"),
      ...new Array<string>(3).fill("waited"),
    ]);
    for (const m of ms) m.kill();
    check();
  });

  it("pass on a signal that reaches a goroutine which is gone, but no broadcast", () => {
    for (const all of [false, true]) {
      const { ms, deliver, addrs, check } = setUp(2);
      const [cond] = addrs;
      const l = { lock: () => ms[0].s.gosched(), unlock() {} };
      const log: number[] = [];
      const wait = (m: number): void => {
        ms[m].s.go(function* () {
          yield* waitForCond(ms[m].conds, () => cond, l);
          log.push(m);
        });
        ms[m].s.run();
      };
      wait(1);
      ms[0].conds.wake(cond, all);
      wait(0);
      ms[1].kill();
      drive(ms, deliver, []);
      expect(log).toEqual(all ? [] : [0]);
      ms[0].kill();
      check();
    }
  });
});
