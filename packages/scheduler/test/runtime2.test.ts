/** Queues of goroutines and of waits, compared with plain lists. */
import { describe, expect, it } from "vitest";
import type { Scheduler } from "../src/index.ts";
import { G, GQueue, P, Sudog, WaitQ } from "../src/runtime2.ts";
import { acquireSudog, releaseSudog } from "../src/sudog-cache.ts";
import { createTestScheduler } from "../src/testing.ts";

const sched: Scheduler = createTestScheduler();
const gs = (n: number): G[] => Array.from({ length: n }, () => new G(sched));

/** A generator of numbers below n. */
function random(seed: number): (n: number) => number {
  let x = seed;
  return (n) => {
    x = (Math.imul(x, 48271) >>> 0) % 2147483647;
    return x % n;
  };
}

describe("the global queue", () => {
  it("is first in, first out, with the right ends and size", () => {
    const q = new GQueue();
    const all = gs(5);
    const rnd = random(3);
    const model: G[] = [];
    expect(q.pop()).toBe(null);
    for (let i = 0; i < 200; i++) {
      const free = all.find((g) => !model.includes(g));
      if (free !== undefined && rnd(2) === 0) {
        model.push(free);
        q.pushBack(free);
      } else expect(q.pop()).toBe(model.shift() ?? null);
      expect([q.size, q.head, q.tail]).toEqual([model.length, model[0] ?? null, model.at(-1) ?? null]);
    }
    while (q.size > 0) q.pop();
    expect(all.every((g) => g.schedlink === null)).toBe(true);
  });
});

describe("the ring of a P", () => {
  it("holds 256 in order, and restarts at 0 when it is empty", () => {
    const p = new P(0);
    const q = new GQueue();
    const all = gs(256);
    expect(p.runqget()).toBe(null);
    for (let round = 0; round < 3; round++) {
      for (const g of all.slice(0, 100)) p.runqput(g, false, q);
      for (const g of all.slice(0, 60)) expect(p.runqget()).toBe(g);
      for (const g of all.slice(100)) p.runqput(g, false, q);
      expect(p.runqLength).toBe(196);
      for (const g of all.slice(0, 60)) p.runqput(g, false, q);
      expect([p.runqLength, q.size]).toEqual([256, 0]);
      for (const g of [...all.slice(60), ...all.slice(0, 60)]) expect(p.runqget()).toBe(g);
      expect([p.runqLength, p.runqhead, p.runqtail, p.runqget()]).toEqual([0, 0, 0, null]);
      expect(p.runq).toHaveLength(256);
      expect(p.runq.every((g) => g === null)).toBe(true);
    }
  });

  it("moves the old runnext to its tail", () => {
    const p = new P(0);
    const q = new GQueue();
    const [first, second, third] = gs(3);
    p.runqput(first, true, q);
    expect([p.runnext, p.runqLength]).toEqual([first, 0]);
    p.runqput(second, false, q);
    p.runqput(third, true, q);
    expect([p.runnext, p.runqget(), p.runqget(), p.runqget()]).toEqual([third, second, first, null]);
  });

  it("moves its older half and the new goroutine to the global queue when it is full", () => {
    const p = new P(0);
    const q = new GQueue();
    const all = gs(257);
    for (const g of all) p.runqput(g, false, q);
    expect([p.runqLength, q.size]).toEqual([128, 129]);
    const moved = Array.from({ length: 129 }, () => q.pop());
    expect(moved).toEqual([...all.slice(0, 128), all[256]]);
    for (const g of all.slice(128, 256)) expect(p.runqget()).toBe(g);
  });
});

describe("a queue of waits", () => {
  const sudog = (g = new G(sched)): Sudog => {
    const sg = new Sudog();
    sg.g = g;
    return sg;
  };
  const listed = (q: WaitQ): Sudog[] => {
    const out: Sudog[] = [];
    for (let sg = q.first, prev: Sudog | null = null; sg !== null; prev = sg, sg = sg.next) {
      expect([sg.prev === prev, sg.q === q]).toEqual([true, true]);
      out.push(sg);
    }
    expect(q.last).toBe(out.at(-1) ?? null);
    return out;
  };

  it("adds waits at both ends and removes them anywhere", () => {
    const q = new WaitQ();
    const all = Array.from({ length: 6 }, () => sudog());
    const rnd = random(11);
    let model: Sudog[] = [];
    for (let i = 0; i < 400; i++) {
      const free = all.find((sg) => !model.includes(sg));
      const what = rnd(4);
      if (what === 0 && free !== undefined) {
        q.enqueue(free);
        model.push(free);
      } else if (what === 1 && free !== undefined) {
        q.pushFront(free);
        model.unshift(free);
      } else if (what === 2 && model.length > 0) {
        const sg = model[rnd(model.length)];
        q.remove(sg);
        model = model.filter((x) => x !== sg);
        expect([sg.q, sg.next, sg.prev]).toEqual([null, null, null]);
      } else {
        const sg = q.dequeue();
        expect(sg).toBe(model.shift() ?? null);
        if (sg !== null) expect([sg.q, sg.next]).toEqual([null, null]);
      }
      expect(listed(q)).toEqual(model);
    }
  });

  it("skips a select that has chosen, and chooses for a select that has not", () => {
    const q = new WaitQ();
    const [g, h] = gs(2) as [G, G];
    const [chosen, open, again, plain] = [sudog(g), sudog(h), sudog(h), sudog()];
    for (const sg of [chosen, open, again]) sg.isSelect = true;
    g.param = sudog(g);
    for (const sg of [chosen, open, again, plain]) q.enqueue(sg);
    expect(q.dequeue()).toBe(open);
    expect(h.param).toBe(open);
    expect(chosen.q).toBe(null);
    // The other case of that select leaves the queue, too.
    expect(q.dequeue()).toBe(plain);
    expect([q.dequeue(), q.first, q.last]).toEqual([null, null, null]);
  });
});

describe("sudogs", () => {
  it("are blank when they are reused: a goroutine keeps one, and the others are shared", () => {
    const g = new G(sched);
    const first = acquireSudog(g);
    const second = acquireSudog(g);
    expect(first).not.toBe(second);
    let unblocked = 0;
    for (const sg of [first, second]) {
      Object.assign(sg, { elem: 1, success: true, isSelect: true, sending: true, waitlink: first });
      sg.timer = { maybeRunChan() {}, blockTimerChan() {}, unblockTimerChan: () => void unblocked++ };
      releaseSudog(sg);
    }
    expect(unblocked).toBe(2);
    for (const sg of [first, second]) {
      expect([sg.elem, sg.success, sg.isSelect, sg.sending, sg.waitlink, sg.timer, sg.prev]).toEqual([
        undefined,
        false,
        false,
        false,
        null,
        null,
        null,
      ]);
    }
    expect(g.sudog).toBe(first);
    expect(second.g).toBe(null);
    expect(acquireSudog(g)).toBe(first);
    expect(g.sudog).toBe(null);
    const other = new G(sched);
    const reused = acquireSudog(other);
    expect(reused).toBe(second);
    expect(reused.g).toBe(other);
    releaseSudog(first);
    releaseSudog(reused);
  });
});
