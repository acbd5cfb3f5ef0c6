import { ROOT_THREADS } from "@gort/memory/internal";
import { describe, expect, it } from "vitest";
import { RING } from "../src/layout.ts";
import { globrunqget, globrunqput, runqget, runqput, runqsteal } from "../src/runq.ts";
import { SharedState } from "../src/shared-state.ts";
import { verifyThreads } from "../src/testing.ts";
import { type EndOfMs, exploreAll, type M } from "./explore-kit.ts";

/** Rings and the global queue (runq.ts), in all interleavings of owners and thieves. Each M holds a P. */

interface Queues {
  put(which: number): void;
  get(): void;
  /** `from`: an M, which holds the P. */
  steal(from: number, next?: boolean): void;
  putGlobal(which: number): void;
  getGlobal(): void;
}

/** The queues as an M sees them. It notes the tasks that it takes. */
function queues(m: M): Queues {
  const { t, threads, record } = m;
  threads.acquireP();
  const s = new SharedState(t.mem, t.mem.root(ROOT_THREADS), threads.m, t.host);
  const { p } = s;
  let steps = 0;
  const took = (task: number): void => {
    if (task !== 0) t.note(task);
    t.mark(++steps);
  };
  return {
    put(which) {
      runqput(s, p, record(which));
      t.mark(++steps);
    },
    get: () => took(runqget(s, p)),
    steal: (from, next = false) => took(runqsteal(s, p, s.prec(from), next)),
    putGlobal(which) {
      globrunqput(s, record(which));
      t.mark(++steps);
    },
    getGlobal: () => took(globrunqget(s, p, RING)),
  };
}

/** At the end each of n tasks was taken once, or is still in a queue. */
function expectTasks(n: number): (end: EndOfMs) => void {
  return ({ mem, notes, numberOf }) => {
    const tasks = [...notes.flat(), ...verifyThreads(mem).tasks].map((task) => numberOf(task as number));
    expect(tasks.sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, k) => k));
  };
}

describe("a ring", { timeout: 120_000 }, () => {
  // Faults that it kills: the owner or a thief moves the head without a CAS; a thief reads the tasks after its CAS; the
  // owner takes runnext without a CAS.
  it("gives each task to its owner or to one of two thieves", () => {
    exploreAll({
      ms: [
        (m) => {
          const q = queues(m);
          q.put(0);
          q.put(1);
          m.t.begin();
          q.put(2);
          q.get();
          q.get();
          q.get();
        },
        (m) => {
          const q = queues(m);
          m.t.begin();
          q.steal(0, true);
          q.get();
        },
        (m) => {
          const q = queues(m);
          m.t.begin();
          q.steal(0);
        },
      ],
      end: expectTasks(3),
    });
  });

  // Faults: the owner publishes the tail before it has stored the task; a thief publishes its tail before its CAS; a
  // thief takes a task that was put after it has read the head.
  it("passes tasks on through the ring of a thief", () => {
    exploreAll({
      ms: [
        (m) => {
          const q = queues(m);
          for (const k of [0, 1, 2, 3, 4]) q.put(k);
          m.t.begin();
          q.put(5);
          q.get();
          q.get();
        },
        (m) => {
          const q = queues(m);
          m.t.begin();
          q.steal(0);
          q.get();
        },
        (m) => {
          const q = queues(m);
          m.t.begin();
          q.steal(1);
        },
      ],
      end: expectTasks(6),
    });
  });

  // Faults: the owner overwrites the oldest task of a full ring; it links tasks before its CAS; it does not try again
  // after a thief was faster.
  it("that is full moves half of its tasks to the global queue, while a thief takes the same half", () => {
    exploreAll({
      ms: [
        (m) => {
          const q = queues(m);
          for (let k = 0; k <= RING; k++) q.put(k);
          m.t.begin();
          q.put(RING + 1);
          q.put(RING + 2);
        },
        (m) => {
          const q = queues(m);
          m.t.begin();
          q.steal(0);
          q.getGlobal();
        },
      ],
      end: expectTasks(RING + 3),
    });
  });

  // Faults: the global queue changes without its lock; its tail stays when it is emptied.
  it("and the global queue lose no task", () => {
    exploreAll({
      ms: [
        (m) => {
          const q = queues(m);
          q.putGlobal(0);
          m.t.begin();
          q.putGlobal(1);
          q.getGlobal();
          q.get();
        },
        (m) => {
          const q = queues(m);
          m.t.begin();
          q.putGlobal(2);
          q.getGlobal();
        },
        (m) => {
          const q = queues(m);
          m.t.begin();
          q.getGlobal();
          q.steal(0);
        },
      ],
      end: expectTasks(3),
    });
  });
});
