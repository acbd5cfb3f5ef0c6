import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RuntimeTimer, TimerHeap } from "../src/timer-heap.ts";
import { run } from "./kit.ts";

describe("the timer heap", () => {
  it("fires in order of time, then of age, also after removals", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ when: fc.integer({ min: 0, max: 50 }), remove: fc.boolean() }), {
          maxLength: 200,
        }),
        (list) => {
          const heap = new TimerHeap();
          const fired: number[] = [];
          const timers = list.map((x, i) => {
            const t = new RuntimeTimer(() => fired.push(i));
            heap.add(t, x.when);
            return t;
          });
          for (const [i, x] of list.entries()) if (x.remove) heap.remove(timers[i]);
          heap.run(60);
          const want = list
            .map((x, i) => ({ ...x, i }))
            .filter((x) => !x.remove)
            .sort((a, b) => a.when - b.when || a.i - b.i)
            .map((x) => x.i);
          expect(fired).toEqual(want);
          expect([heap.size, heap.nuser, heap.nextWhen]).toEqual([0, 0, Infinity]);
        },
      ),
    );
  });

  it("keeps its order when the timer that fills a gap belongs above it", () => {
    const heap = new TimerHeap();
    const fired: number[] = [];
    const timers = new Map<number, RuntimeTimer>();
    // The last timer, 5, takes the place of 11. The parent of this place is 10.
    for (const when of [1, 10, 2, 3, 4, 11, 12, 13, 14, 5]) {
      const t = new RuntimeTimer(() => void fired.push(when));
      timers.set(when, t);
      heap.add(t, when);
    }
    heap.remove(timers.get(11)!);
    heap.run(5);
    expect(fired).toEqual([1, 2, 3, 4, 5]);
    heap.run(20);
    expect(fired).toEqual([1, 2, 3, 4, 5, 10, 12, 13, 14]);
    expect([heap.size, heap.nextWhen, heap.nuser]).toEqual([0, Infinity, 0]);
  });

  it("counts the timers of programs, without those of the runtime", () => {
    const heap = new TimerHeap();
    const [mine, own] = [new RuntimeTimer(() => {}), new RuntimeTimer(() => {})];
    own.system = true;
    heap.add(mine, 1);
    heap.add(own, 2);
    expect(heap.nuser).toBe(1);
    heap.remove(own);
    expect([heap.nuser, heap.nextWhen]).toEqual([1, 1]);
    heap.remove(mine);
    expect([heap.nuser, heap.nextWhen]).toEqual([0, Infinity]);
  });

  it("treats a negative duration at time 0 as now", () => {
    run(function* (s) {
      expect(s.clock.now()).toBe(0);
      const t = s.newTimer(-5);
      expect(yield* t.C.recv()).toBeDefined();
      expect(s.clock.now()).toBe(0);
      const u = s.newTimer(10);
      expect([u.reset(-1), yield* u.C.recv2()]).toEqual([true, { value: expect.anything(), ok: true }]);
      expect(s.clock.now()).toBe(0);
    });
  });
});
