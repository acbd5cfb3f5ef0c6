import type { Addr } from "@gort/memory";
import { createLinearMemory } from "@gort/memory";
import type { Scheduler } from "@gort/scheduler";
import { type G, gopark, PhasedOp, type Schedt, waitReasonSemacquire } from "@gort/scheduler/internal";
import { createTestScheduler, verifyScheduler } from "@gort/scheduler/testing";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LINE } from "../src/layout.ts";
import { NODE_KIND, NODE_NEXT, NODE_READY } from "../src/runtime2.ts";
import { INLINE_ELEM, SUDOG_AT, Waiters, type WaitOwner, waitersOf } from "../src/sudog.ts";

/** Several Ms on one JavaScript thread: a post waits in a list until the test delivers it. */
function machines(n: number): { ms: Waiters[]; inboxes: Addr[][]; deliver(m: number): void } {
  const mem = createLinearMemory({ maxMemory: 64 << 20 });
  const inboxes: Addr[][] = Array.from({ length: n }, () => []);
  const ms = inboxes.map((_, m) => new Waiters(mem, { m, post: (to, node) => void inboxes[to].push(node) }));
  const deliver = (m: number): void => {
    for (const node of inboxes[m].splice(0)) ms[m].deliver(node);
  };
  return { ms, inboxes, deliver };
}

/** Queues in JavaScript, for sudogs in linear memory. One thread runs the tests, so they have no locks. */
class Queues implements WaitOwner {
  readonly q: Addr[][] = [[], [], []];
  readonly undeliveredSudogs: Addr[] = [];
  /** What another thread does while a goroutine gives up, before that takes the first lock. */
  beforeUnqueue = (): void => {};
  private readonly u32: Uint32Array;
  constructor(waiters: Waiters) {
    this.u32 = waiters.u32;
  }
  enqueue(sg: Addr, i: number): void {
    this.u32[(sg + SUDOG_AT.queued) >>> 2] = 1;
    this.q[i].push(sg);
  }
  unqueue(head: Addr): void {
    this.beforeUnqueue();
    for (let sg = head; sg !== 0; sg = this.u32[(sg + SUDOG_AT.waitlink) >>> 2] as Addr) {
      const q = this.q.find((list) => list.includes(sg));
      expect(this.u32[(sg + SUDOG_AT.queued) >>> 2]).toBe(q === undefined ? 0 : 1);
      q?.splice(q.indexOf(sg), 1);
      this.u32[(sg + SUDOG_AT.queued) >>> 2] = 0;
    }
  }
  undelivered(sg: Addr): void {
    this.undeliveredSudogs.push(sg);
  }
  /** What a partner on M `by` does with queue i. */
  wake(by: Waiters, i: number): boolean {
    for (;;) {
      const sg = this.q[i].shift();
      if (sg === undefined) return false;
      if (!by.win(sg)) continue;
      this.u32[(sg + SUDOG_AT.success) >>> 2] = 1;
      by.ready(sg);
      return true;
    }
  }
}

/** Waits in some of the queues. Its value is the number of the queue by which the wait ended. */
class WaitOp extends PhasedOp<number> {
  private readonly waiters: Waiters;
  private readonly queues: Queues;
  private readonly list: readonly number[];
  private readonly sched: Schedt;
  constructor(sched: Schedt, waiters: Waiters, queues: Queues, list: readonly number[]) {
    super();
    this.sched = sched;
    this.pending = true;
    this.waiters = waiters;
    this.queues = queues;
    this.list = list;
  }
  get what(): string {
    return "test wait";
  }
  protected override get cancellable(): boolean {
    return true;
  }
  protected start(g: G): boolean {
    const w = this.waiters.begin(g, this.queues, this);
    for (const i of this.list) {
      const sg = this.waiters.add(w, this.list.length > 1);
      this.waiters.u32[(sg + SUDOG_AT.index) >>> 2] = i;
      this.queues.enqueue(sg, i);
    }
    gopark(g, this, waitReasonSemacquire);
    return false;
  }
  protected override finish(g: G): boolean {
    const w = g.shared as ReturnType<Waiters["begin"]>;
    const { winner } = w;
    this.queues.unqueue(w.head);
    this.value = this.waiters.u32[(winner + SUDOG_AT.index) >>> 2];
    this.waiters.end(w);
    return true;
  }
  protected hostScheduler(): Schedt {
    return this.sched;
  }
  protected override replace(): void {}
}

/** Sudogs that all threads have taken from the memory and not freed. */
function sudogsInUse(ms: Waiters[]): number {
  return ms.reduce((n, w) => n + w.stats().inUse, 0);
}

function start(
  s: Scheduler,
  w: Waiters,
  q: Queues,
  list: number[],
  log: unknown[],
  signal?: AbortSignal,
): void {
  s.go(function* () {
    try {
      const op = new WaitOp(s, w, q, list);
      log.push(yield* signal === undefined ? op : op.withSignal(signal));
    } catch (e) {
      log.push(e);
    }
  });
}

describe("a sudog", () => {
  it("begins with the header of a node", () => {
    expect([SUDOG_AT.nodeNext, SUDOG_AT.nodeKind]).toEqual([NODE_NEXT, NODE_KIND]);
    const { ms } = machines(1);
    const s = createTestScheduler();
    start(s, ms[0], new Queues(ms[0]), [0], []);
    s.run();
    const sg = (s.gs()[0].shared as ReturnType<Waiters["begin"]>).head;
    expect(ms[0].u32[(sg + SUDOG_AT.nodeKind) >>> 2]).toBe(NODE_READY);
    s.close();
  });

  it("fills lines of the cache, and has all that a partner uses of it in the first", () => {
    const { ms } = machines(1);
    const s = createTestScheduler();
    const heads: number[] = [];
    for (let i = 0; i < 30; i++) start(s, ms[0], new Queues(ms[0]), [0], []);
    s.run();
    for (const g of s.gs()) heads.push((g.shared as ReturnType<Waiters["begin"]>).head);
    expect(heads).toHaveLength(30);
    expect(heads.filter((sg) => sg % LINE !== 0)).toEqual([]);
    expect(SUDOG_AT.inline + INLINE_ELEM).toBe(LINE);
    s.close();
  });
});

describe("a wait", () => {
  it("ends at once when its partner is a goroutine of the same thread", () => {
    const { ms, inboxes } = machines(1);
    const q = new Queues(ms[0]);
    const s = createTestScheduler();
    const log: unknown[] = [];
    start(s, ms[0], q, [1], log);
    s.run();
    expect(q.wake(ms[0], 1)).toBe(true);
    s.run();
    expect(log).toEqual([1]);
    expect(inboxes[0]).toEqual([]);
    expect(sudogsInUse(ms)).toBe(0);
    verifyScheduler(s);
  });

  it("ends by a post when its partner is on another thread", () => {
    const { ms, inboxes, deliver } = machines(2);
    const q = new Queues(ms[0]);
    const s = createTestScheduler();
    const log: unknown[] = [];
    start(s, ms[0], q, [2], log);
    s.run();
    expect(q.wake(ms[1], 2)).toBe(true);
    s.run();
    expect([log, inboxes[0].length]).toEqual([[], 1]);
    deliver(0);
    s.run();
    expect(log).toEqual([2]);
    expect(sudogsInUse(ms)).toBe(0);
  });

  it("in several queues ends by the first partner, and the others go on to the next waiter", () => {
    const { ms, deliver } = machines(2);
    const q = new Queues(ms[0]);
    const s = createTestScheduler();
    const log: unknown[] = [];
    start(s, ms[0], q, [0, 1, 2], log);
    start(s, ms[0], q, [1], log);
    s.run();
    expect(q.wake(ms[1], 2)).toBe(true);
    // The sudog of the select still stands first in queue 1.
    expect(q.wake(ms[1], 1)).toBe(true);
    expect(q.wake(ms[1], 1)).toBe(false);
    deliver(0);
    s.run();
    expect(log).toEqual([2, 1]);
    expect([q.q, sudogsInUse(ms)]).toEqual([[[], [], []], 0]);
  });

  it("keeps its handle alive until it ends", () => {
    const { ms } = machines(1);
    const q = new Queues(ms[0]);
    const s = createTestScheduler();
    start(s, ms[0], q, [0], []);
    s.run();
    const w = s.gs()[0].shared as ReturnType<Waiters["begin"]>;
    expect(w.hold).toBeInstanceOf(WaitOp);
    q.wake(ms[0], 0);
    s.run();
    expect(w.hold).toBeNull();
  });
});

describe("giving up a wait", () => {
  it("takes its sudogs out of the queues", () => {
    for (const list of [[0], [0, 1, 2]]) {
      const { ms } = machines(2);
      const q = new Queues(ms[0]);
      const s = createTestScheduler();
      const log: unknown[] = [];
      const abort = new AbortController();
      start(s, ms[0], q, list, log, abort.signal);
      s.run();
      abort.abort("enough");
      s.run();
      expect(log).toEqual(["enough"]);
      expect([q.q, sudogsInUse(ms), q.wake(ms[1], 0)]).toEqual([[[], [], []], 0, false]);
    }
  });

  it("fails if a partner on another thread has ended the wait, whose goroutine is then readied", () => {
    for (const list of [[0], [0, 1, 2]]) {
      const { ms, deliver } = machines(2);
      const q = new Queues(ms[0]);
      const s = createTestScheduler();
      const log: unknown[] = [];
      const abort = new AbortController();
      start(s, ms[0], q, list, log, abort.signal);
      s.run();
      expect(q.wake(ms[1], 0)).toBe(true);
      abort.abort("enough");
      s.run();
      expect(log).toEqual([]);
      deliver(0);
      s.run();
      expect(log).toEqual([0]);
      expect(sudogsInUse(ms)).toBe(0);
    }
  });

  it("of a select is decided before the first lock is taken: a partner that comes then finds no waiter", () => {
    const { ms, inboxes } = machines(2);
    const q = new Queues(ms[0]);
    const s = createTestScheduler();
    const log: unknown[] = [];
    const abort = new AbortController();
    start(s, ms[0], q, [0, 1], log, abort.signal);
    s.run();
    q.beforeUnqueue = () => expect(q.wake(ms[1], 1)).toBe(false);
    abort.abort("enough");
    s.run();
    expect([log, inboxes[0], sudogsInUse(ms)]).toEqual([["enough"], [], 0]);
  });

  it("of one queue is decided under its lock: a partner that comes before ends the wait", () => {
    const { ms, deliver } = machines(2);
    const q = new Queues(ms[0]);
    const s = createTestScheduler();
    const log: unknown[] = [];
    const abort = new AbortController();
    start(s, ms[0], q, [1], log, abort.signal);
    s.run();
    q.beforeUnqueue = () => {
      q.beforeUnqueue = () => {};
      expect(q.wake(ms[1], 1)).toBe(true);
    };
    abort.abort("enough");
    s.run();
    expect(log).toEqual([]);
    deliver(0);
    s.run();
    expect([log, sudogsInUse(ms)]).toEqual([[1], 0]);
  });
});

describe("the end of a program", () => {
  it("gives up the waits of its goroutines", () => {
    const { ms } = machines(1);
    const q = new Queues(ms[0]);
    const s = createTestScheduler();
    s.runMain(function* () {
      start(s, ms[0], q, [0], []);
      start(s, ms[0], q, [0, 1], []);
      yield* s.gosched();
    });
    expect([q.q, sudogsInUse(ms)]).toEqual([[[], [], []], 0]);
    verifyScheduler(s);
  });

  it("passes on what a partner has handed to a goroutine that has ended before the delivery", () => {
    for (const list of [[0], [0, 1, 2]]) {
      const { ms, deliver } = machines(2);
      const q = new Queues(ms[0]);
      const s = createTestScheduler();
      s.runMain(function* () {
        // The second wait has the slot of the first.
        start(s, ms[0], q, list, []);
        yield* s.gosched();
        q.wake(ms[0], 0);
        yield* s.gosched();
        start(s, ms[0], q, list, []);
        yield* s.gosched();
        q.wake(ms[1], 0);
      });
      expect([q.undeliveredSudogs.length, sudogsInUse(ms)]).toEqual([0, 1]);
      // A later wait does not get the slot whose delivery is still to come.
      const log: unknown[] = [];
      start(s, ms[0], q, [1], log);
      s.run();
      deliver(0);
      s.run();
      expect([q.undeliveredSudogs.length, log]).toEqual([1, []]);
      q.wake(ms[0], 1);
      s.run();
      expect([log, sudogsInUse(ms)]).toEqual([[1], 0]);
    }
  });

  it("passes on what a partner has handed to a goroutine that was readied and has not run", () => {
    const { ms } = machines(1);
    const q = new Queues(ms[0]);
    const s = createTestScheduler();
    s.runMain(function* () {
      start(s, ms[0], q, [0, 1], []);
      yield* s.gosched();
      q.wake(ms[0], 1);
    });
    expect([q.undeliveredSudogs.length, sudogsInUse(ms)]).toEqual([1, 0]);
  });
});

describe("free sudogs", () => {
  it("of a thread that has ended serve other threads", () => {
    const { ms, inboxes } = machines(3);
    const q = new Queues(ms[0]);
    const s = createTestScheduler();
    const wait = (w: Waiters): void => {
      start(s, w, q, [0, 1, 2], []);
      s.run();
      q.wake(w, 0);
      s.run();
    };
    wait(ms[0]);
    wait(ms[2]);
    const { free } = ms[0].stats();
    expect(free).toBeGreaterThan(3);
    for (const m of [0, 0, 2]) {
      ms[m].close();
      expect(ms[m].stats()).toEqual({ inUse: 0, free: 0 });
    }
    const { sys } = ms[0].mem.stats;
    // A thread takes as many as it needs, and leaves the others to other threads.
    wait(ms[1]);
    expect(ms[1].stats()).toEqual({ inUse: 0, free });
    for (let i = 0; i < free; i++) start(s, ms[1], q, [i % 3, (i + 1) % 3], []);
    s.run();
    expect([ms[1].stats(), ms[1].mem.stats.sys]).toEqual([{ inUse: 2 * free, free: 0 }, sys]);
    for (let i = 0; i < 3; i++) while (q.wake(ms[1], i));
    s.run();
    expect([ms[1].stats(), ms[1].mem.stats.sys]).toEqual([{ inUse: 0, free: 2 * free }, sys]);
    // They carry the number of their new thread.
    start(s, ms[1], q, [0], []);
    s.run();
    ms[0].ready(q.q[0][0]);
    expect(inboxes.map((list) => list.length)).toEqual([0, 1, 0]);
  });
});

describe("waitersOf", () => {
  it("gives one table for a thread and memory, which threads made later can be connected to", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const w = waitersOf(mem);
    expect(waitersOf(mem) === w).toBe(true);
    expect(waitersOf(createLinearMemory({ maxMemory: 64 << 20 })) === w).toBe(false);
    expect(w.several).toBe(false);
    expect(waitersOf(mem, { m: 0, count: 2, post() {} }) === w).toBe(true);
    expect(w.several).toBe(true);
    expect(() => waitersOf(mem, { m: 3, count: 2, post() {} })).toThrow(
      "threads: this thread is M 0 (got 3)",
    );
  });

  it("refuses to wake a goroutine of another thread before it knows the threads", () => {
    const { ms } = machines(2);
    const alone = new Waiters(ms[0].mem, null);
    const q = new Queues(ms[0]);
    const s = createTestScheduler();
    start(s, ms[1], q, [0], []);
    s.run();
    expect(() => q.wake(alone, 0)).toThrow("threads: a goroutine of another thread waits");
  });
});

describe("any order of waits, wake-ups and aborts", () => {
  it("loses no wake-up and no sudog", () => {
    const action = fc.oneof(
      fc.record({
        kind: fc.constant("wait" as const),
        m: fc.nat(1),
        list: fc.subarray([0, 1, 2], { minLength: 1 }),
      }),
      fc.record({ kind: fc.constant("wake" as const), m: fc.nat(1), q: fc.nat(2) }),
      fc.record({ kind: fc.constant("deliver" as const), m: fc.nat(1) }),
      fc.record({ kind: fc.constant("abort" as const), n: fc.nat(9) }),
      fc.record({ kind: fc.constant("run" as const), m: fc.nat(1) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const { ms, deliver } = machines(2);
        const q = new Queues(ms[0]);
        const scheds = [createTestScheduler(), createTestScheduler()];
        const aborts: AbortController[] = [];
        const log: unknown[] = [];
        let wakes = 0;
        for (const a of actions) {
          if (a.kind === "wait") {
            const abort = new AbortController();
            aborts.push(abort);
            start(scheds[a.m], ms[a.m], q, a.list, log, abort.signal);
            scheds[a.m].run();
          } else if (a.kind === "wake") {
            if (q.wake(ms[a.m], a.q)) wakes++;
          } else if (a.kind === "deliver") deliver(a.m);
          else if (a.kind === "abort") aborts[a.n]?.abort("aborted");
          else scheds[a.m].run();
        }
        for (const abort of aborts) abort.abort("aborted");
        for (const m of [0, 1]) {
          deliver(m);
          scheds[m].run();
        }
        const ended = log.filter((x) => typeof x === "number").length;
        expect([log.length, ended]).toEqual([aborts.length, wakes]);
        expect([q.q, sudogsInUse(ms), q.undeliveredSudogs]).toEqual([[[], [], []], 0, []]);
        for (const s of scheds) verifyScheduler(s);
      }),
    );
  });
});
