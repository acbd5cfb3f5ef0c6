import { ROOT_THREADS } from "@gort/memory/internal";
import { describe, expect, it } from "vitest";
import { MREC_AT, SCHED_AT } from "../src/layout.ts";
import { verifyThreads } from "../src/testing.ts";
import { type EndOfMs, exploreAll, type M } from "./explore-kit.ts";

/**
 * Which M gets a P, and which one is woken for a task (ps.ts, proc.ts), in all interleavings. The words: Ms that run at
 * the moment, Ms that were started, Ms that have run.
 */
const RUNNING = 0;
const STARTED = 1;
const RAN = 2;

/**
 * A run loop: it takes a P, runs all tasks that it finds, and sleeps. `steal` false: it steals only when it was woken.
 * Returns the slice, which is also its wake.
 */
function runLoop({ t, threads, word }: M, steal = true): () => void {
  threads.startM = () => void t.count(word(STARTED));
  const slice = (): void => {
    threads.awake();
    if (threads.pending) threads.poll();
    while (threads.acquireP()) {
      const task = threads.takeTask(steal);
      if (task === 0) {
        if (threads.pending) {
          threads.poll();
          continue;
        }
        break;
      }
      t.note(task);
    }
    threads.sleep(slice);
  };
  return slice;
}

/** An M runs once with a P, and then wants none. It notes how many were earlier; fewer than `max` run at that time. */
function runsOnce(m: M, max: number): () => void {
  const { t, threads, word } = m;
  const state = { ran: false };
  t.state(state);
  const slice = (): void => {
    threads.awake();
    if (threads.pending) threads.poll();
    if (!state.ran && threads.acquireP()) {
      state.ran = true;
      expect(t.count(word(RUNNING))).toBeLessThan(max);
      t.choose(1);
      t.count(word(RUNNING), -1);
      t.note(t.count(word(RAN)));
      threads.releaseP();
    }
    threads.sleep(slice);
  };
  return slice;
}

/** All tasks were taken once; or one waits, but an M was started for it. */
function expectTaken(n: number): (end: EndOfMs) => void {
  return ({ mem, notes, numberOf, word }) => {
    const { tasks, idlePs } = verifyThreads(mem);
    const all = [...notes.flat(), ...tasks].map((task) => numberOf(task as number));
    expect(all.sort()).toEqual(Array.from({ length: n }, (_, k) => k));
    if (tasks.length > 0 && word(STARTED) === 0) expect(idlePs).toBe(0);
  };
}

describe("a task", { timeout: 120_000 }, () => {
  // Faults that it kills: an M that goes to sleep does not look at the queues again, or looks before it has given its P
  // away; the thread that puts a task looks at the idle Ps first; a woken M does not look for a task.
  it("is never left behind while an M sleeps and a P is idle", () => {
    exploreAll({
      ms: [
        ({ t, threads, record }) => {
          threads.acquireP();
          t.begin();
          threads.putTask(record(0));
        },
        (m) => {
          const slice = runLoop(m);
          m.threads.acquireP();
          m.t.begin();
          m.threads.sleep(slice);
        },
      ],
      end: expectTaken(1),
    });
  });

  // Faults: an M that stops to search does not look at the queues once more; one that has found a task wakes no other.
  it("wakes one M after the other, and then has one started, as long as there are tasks and Ps", () => {
    exploreAll({
      gomaxprocs: 3,
      ms: [
        ({ t, threads, record, word }) => {
          threads.startM = () => void t.count(word(STARTED));
          threads.acquireP();
          t.begin();
          threads.putTask(record(0));
          t.mark(1);
          threads.putTask(record(1));
        },
        (m) => {
          // Its first task never ends.
          const slice = (): void => {
            m.threads.awake();
            m.threads.poll();
            const task = m.threads.acquireP() ? m.threads.takeTask(false) : 0;
            if (task !== 0) m.t.note(task);
            else m.threads.sleep(slice);
          };
          m.threads.startM = () => void m.t.count(m.word(STARTED));
          m.threads.sleep(slice);
          m.t.begin();
        },
      ],
      end: expectTaken(2),
    });
  });

  // Fault: a locked M looks for a task when it is woken.
  it("is left to other Ms by one that goroutines lock before it looks", () => {
    exploreAll({
      gomaxprocs: 2,
      ms: [
        ({ t, threads, record }) => {
          threads.startM = () => t.note(record(0));
          t.begin();
          threads.putTask(record(0));
        },
        (m) => {
          const { t, threads, record } = m;
          // An event of its own: from then on its goroutine computes, after a last safepoint.
          const slice = (): void => {
            threads.awake();
            if (!threads.acquireP()) throw new Error("no P");
            threads.setLocked(true);
            if (threads.pending) threads.poll();
          };
          threads.startM = () => t.note(record(0));
          t.begin();
          t.host.task(slice);
          threads.sleep(slice);
        },
      ],
      // Either an M was started for the task, or the M that computes has to look at its inbox.
      end: ({ mem, notes }) => {
        expect(verifyThreads(mem).tasks).toHaveLength(1);
        const rec = mem.u32[(mem.root(ROOT_THREADS) + SCHED_AT.ms + 4) >>> 2];
        const called = mem.u32[(rec + MREC_AT.inbox) >>> 2] !== 0;
        if (!called) expect(notes.flat()).not.toEqual([]);
      },
    });
  });

  // Fault: the M keeps the task for the slice that it has queued.
  it("can be stolen from an M that was woken, but has a slice of its own to run", () => {
    exploreAll({
      gomaxprocs: 2,
      ms: [
        ({ t, threads, record }) => {
          threads.acquireP();
          t.begin();
          threads.putTask(record(0));
        },
        (m) => {
          const { t, threads } = m;
          threads.acquireP();
          t.begin();
          // As the scheduler: a slice is queued, which polls.
          threads.sleep(() => {});
        },
      ],
      end: ({ mem }) => expect(verifyThreads(mem).tasks).toHaveLength(1),
    });
  });

  // Fault: an M that was woken in vain does not look at the queues before it sleeps again.
  it("is not missed if a P is taken and given back meanwhile", () => {
    exploreAll({
      gomaxprocs: 2,
      ms: [
        ({ t, threads, record }) => {
          threads.acquireP();
          t.begin();
          threads.putTask(record(0));
        },
        (m) => {
          runLoop(m, false)();
          m.t.begin();
        },
        ({ t, threads }) => {
          t.begin();
          threads.acquireP();
          t.mark(1);
          threads.releaseP();
        },
      ],
      end: expectTaken(1),
    });
  });

  // Fault: a woken M puts the task that it finds into runnext, from where another woken M takes it, and so on.
  it("is run in the end, however slow the Ms are that find it", () => {
    exploreAll({
      gomaxprocs: 2,
      ms: [
        (m) => {
          const slice = runLoop(m);
          m.threads.acquireP();
          m.t.begin();
          m.threads.putTask(m.record(0));
          m.t.mark(1);
          m.threads.sleep(slice);
        },
        (m) => {
          runLoop(m)();
          m.t.begin();
        },
      ],
      end: expectTaken(1),
    });
  });

  // Fault: an M that is no longer busy does not look at the queues.
  it("is not left behind by an M that is busy for a time", () => {
    exploreAll({
      gomaxprocs: 2,
      ms: [
        ({ t, threads, record }) => {
          threads.acquireP();
          t.begin();
          threads.putTask(record(0));
        },
        (m) => {
          const { t, threads } = m;
          const slice = runLoop(m);
          threads.startM = null;
          threads.sleep(slice);
          t.begin();
          threads.setBusy(true);
          t.mark(1);
          threads.setBusy(false);
        },
      ],
      end: expectTaken(1),
    });
  });

  // Fault: an M that leaves tells no M of its ring.
  it("in the ring of an M that leaves is for the others", () => {
    exploreAll({
      gomaxprocs: 2,
      ms: [
        (m) => {
          runLoop(m)();
          m.t.begin();
        },
        ({ t, threads, record }) => {
          threads.acquireP();
          t.phase();
          threads.putTask(record(0));
          t.begin();
          threads.leave();
        },
        ({ t, threads }) => {
          threads.acquireP();
          t.begin();
        },
      ],
      end: expectTaken(1),
    });
  });
});

describe("a P", { timeout: 120_000 }, () => {
  // Faults: a P is given to the idle ones although an M waits; the M that gets a P is not signalled; an M that got a P
  // before it slept does not look.
  it("goes to each M that waits for it", () => {
    exploreAll({
      gomaxprocs: 1,
      ms: [
        (m) => {
          m.threads.acquireP();
          m.t.begin();
          m.threads.releaseP();
          m.t.mark(1);
          m.threads.sleep(runsOnce(m, 1));
        },
        (m) => {
          const slice = runsOnce(m, 1);
          m.t.begin();
          slice();
        },
      ],
      end({ mem, notes }) {
        expect(notes.slice(1).flat().sort()).toEqual([0]);
        expect(verifyThreads(mem)).toMatchObject({ waitingMs: 0, idlePs: 1 });
      },
    });
  });

  // Faults: the FIFO is a stack; an M that waits may take an idle P before those that wait longer.
  it("goes to the M that has waited longest", () => {
    exploreAll({
      gomaxprocs: 1,
      ms: [
        ({ t, threads }) => {
          threads.acquireP();
          t.begin();
          threads.releaseP();
        },
        (m) => {
          const slice = runsOnce(m, 1);
          m.threads.acquireP();
          m.t.begin();
          slice();
        },
        (m) => {
          const slice = runsOnce(m, 1);
          m.threads.acquireP();
          m.t.begin();
          slice();
        },
      ],
      end({ mem, notes }) {
        expect(notes.slice(1)).toEqual([[0], [1]]);
        expect(verifyThreads(mem)).toMatchObject({ waitingMs: 0, idlePs: 1 });
      },
    });
  });

  // Faults: the loan is not passed on; it is given back as a P; the holder's release overlooks the FIFO.
  it("that a stuck M holds is lent to those that wait, and given to one when its M comes back", () => {
    exploreAll({
      gomaxprocs: 1,
      ms: [
        (m) => {
          m.threads.acquireP();
          m.t.phase();
          m.t.advance(10);
          m.t.begin();
          m.threads.releaseP();
        },
        (m) => {
          const slice = runsOnce(m, 2);
          m.threads.acquireP();
          m.t.phase();
          m.t.begin();
          slice();
        },
        (m) => {
          const slice = runsOnce(m, 2);
          m.threads.acquireP();
          m.t.phase();
          m.t.begin();
          slice();
        },
      ],
      end({ mem, notes }) {
        expect(notes.slice(1).flat().sort()).toEqual([0, 1]);
        expect(verifyThreads(mem)).toMatchObject({ waitingMs: 0, idlePs: 1 });
      },
    });
  });
});
