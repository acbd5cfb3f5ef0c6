import { ROOT_THREADS } from "@gort/memory/internal";
import { describe, expect, it } from "vitest";
import { M_GONE, M_RUNNING, MREC_AT, SCHED_AT } from "../src/layout.ts";
import { verifyThreads } from "../src/testing.ts";
import { exploreAll, type M, set } from "./explore-kit.ts";

/**
 * Stops of the world and commands (stops.ts), in all interleavings. The words: the M that has stopped the world, plus
 * 1; commands that were run; a condition.
 */
const STOPPER = 0;
const RAN = 1;
const CONDITION = 2;

/** Does something that no M may do while another one has stopped the world. */
function work({ t, threads, word }: M): void {
  t.choose(1);
  const stopper = t.peek(word(STOPPER));
  if (stopper !== 0 && stopper !== threads.m + 1)
    throw new Error(`works while M ${stopper - 1} has stopped the world`);
}

/** Stops the world. Then it runs a command on all other Ms, of which there are `others`; null: none. */
function stop(m: M, others: number | null): void {
  const { t, threads, word } = m;
  threads.stopTheWorld("the model");
  expect(t.peek(word(STOPPER))).toBe(0);
  set(m, STOPPER, threads.m + 1);
  if (others !== null) {
    const before = t.peek(word(RAN));
    threads.command(1, 0);
    expect(t.peek(word(RAN)) - before).toBe(others);
  }
  t.choose(1);
  set(m, STOPPER, 0);
  threads.startTheWorld();
}

/** An M that works, sleeps, and works when it is woken. */
function worker(m: M): () => void {
  const { t, threads, word } = m;
  threads.setLocked(true);
  threads.onCommand = () => {
    expect(t.peek(word(STOPPER))).not.toBe(0);
    t.count(word(RAN));
  };
  const wake = (): void => {
    threads.awake();
    threads.poll();
    work(m);
    threads.sleep(wake);
  };
  return wake;
}

describe("a stop of the world", { timeout: 120_000 }, () => {
  // Faults that it kills: the stopper does not signal the Ms; an M that resumes does not look at the stopper again; the
  // stopper does not wait; a command is not waited for.
  it("keeps another M from work, twice in succession", () => {
    exploreAll({
      ms: [
        (m) => {
          worker(m);
          m.t.begin();
          stop(m, null);
          m.t.mark(1);
          stop(m, null);
        },
        (m) => {
          worker(m);
          m.t.begin();
          for (let k = 0; k < 2; k++) {
            work(m);
            m.threads.poll();
            m.t.mark(k);
          }
          work(m);
          m.threads.leave();
        },
      ],
      end: ({ mem }) => void verifyThreads(mem),
    });
  });

  // Faults: the word `stopper` is taken without a CAS; an M that waits for another stopper does not count as stopped; a
  // command is not waited for, or runs twice.
  it("excludes another one, and runs its command on all other Ms", () => {
    const body = (m: M): void => {
      worker(m);
      m.t.begin();
      stop(m, null);
      work(m);
      m.threads.leave();
    };
    exploreAll({ ms: [body, body], end: ({ mem }) => void verifyThreads(mem) });
    exploreAll({
      ms: [
        (m) => {
          worker(m);
          m.t.begin();
          stop(m, 1);
        },
        (m) => {
          worker(m);
          m.t.begin();
          work(m);
          m.threads.block(() => m.t.peek(m.word(RAN)) === 1);
        },
      ],
      end: ({ mem }) => void verifyThreads(mem),
    });
  });

  // Fault: an M that sleeps in its event loop is not woken for it.
  it("wakes an M that sleeps, which sleeps on afterwards", () => {
    exploreAll({
      ms: [
        (m) => {
          const wake = worker(m);
          m.t.begin();
          stop(m, 1);
          m.threads.sleep(wake);
        },
        (m) => {
          m.threads.sleep(worker(m));
          m.t.begin();
        },
      ],
      end({ mem }) {
        verifyThreads(mem);
      },
    });
  });

  // Faults: `block` does not look at the condition after it has announced its wait; a signal is lost while the world is
  // stopped; a blocked M is waited for.
  it("passes over an M that blocks, which goes on when its condition is true", () => {
    exploreAll({
      ms: [
        (m) => {
          const { t, threads, word } = m;
          worker(m);
          t.begin();
          stop(m, null);
          t.mark(1);
          t.mem.kernel.store(word(CONDITION), 1);
          threads.signal(1);
        },
        (m) => {
          const { t, threads, word } = m;
          worker(m);
          t.begin();
          threads.block(() => t.mem.kernel.load(word(CONDITION)) === 1);
          work(m);
          t.note("went on");
          threads.sleep(worker(m));
        },
      ],
      end: ({ notes }) => expect(notes[1]).toEqual(["went on"]),
    });
  });

  // Fault: the error leaves `block` at once. Then the M works while the world is stopped, and counts as stopped for
  // ever.
  it("lasts for an M whose command throws: the error comes when the world runs", () => {
    exploreAll({
      ms: [
        (m) => {
          worker(m);
          m.t.begin();
          m.threads.stopTheWorld("the model");
          set(m, STOPPER, 1);
          m.threads.command(1, 0);
          m.t.choose(1);
          set(m, STOPPER, 0);
          m.threads.startTheWorld();
        },
        (m) => {
          worker(m);
          m.threads.onCommand = () => {
            throw new RangeError("no memory");
          };
          m.t.begin();
          try {
            m.threads.block(() => false);
          } catch (e) {
            if (!(e instanceof RangeError)) throw e;
            m.t.note(e.message);
          }
          work(m);
        },
      ],
      end: ({ mem, notes }) => {
        verifyThreads(mem);
        expect(notes[1]).toEqual(["no memory"]);
        const rec = mem.u32[(mem.root(ROOT_THREADS) + SCHED_AT.ms + 4) >>> 2];
        expect(mem.u32[(rec + MREC_AT.state) >>> 2]).toBe(M_RUNNING);
      },
    });
  });

  // Fault: the error leaves `poll` at once. The M does not look for the stop again, and the stopper waits for ever.
  it("does not wait for an M that cannot prepare for it", () => {
    exploreAll({
      ms: [
        (m) => {
          worker(m);
          m.t.begin();
          stop(m, null);
        },
        (m) => {
          const { t, threads } = m;
          const wake = worker(m);
          threads.onStop = () => {
            throw new RangeError("no lock");
          };
          t.begin();
          try {
            threads.poll();
          } catch (e) {
            if (!(e instanceof RangeError)) throw e;
            t.note(e.message);
          }
          work(m);
          threads.onStop = () => {};
          threads.sleep(wake);
        },
      ],
      end: ({ mem, notes }) => {
        verifyThreads(mem);
        expect(["no lock", undefined]).toContain(notes[1][0]);
      },
    });
  });

  // Fault: the attempt counts as a stop, and the next one stops nothing.
  it("is not begun by an M whose command throws meanwhile, and can be begun again", () => {
    exploreAll({
      ms: [
        (m) => {
          worker(m);
          m.t.begin();
          m.threads.stopTheWorld("the model");
          m.threads.command(1, 0);
          m.threads.startTheWorld();
          m.threads.abandon();
        },
        (m) => {
          const { t, threads } = m;
          worker(m);
          threads.onCommand = () => {
            throw new RangeError("no memory");
          };
          t.begin();
          try {
            threads.stopTheWorld("the model");
          } catch (e) {
            if (!(e instanceof RangeError)) throw e;
            threads.stopTheWorld("the model");
          }
          expect(t.peek(t.mem.root(ROOT_THREADS) + SCHED_AT.stopper)).toBe(2);
          threads.startTheWorld();
          threads.abandon();
        },
      ],
      end: ({ mem }) => void verifyThreads(mem),
    });
  });

  // Fault: an M that attaches does not look at the stopper.
  it("holds an M back that attaches meanwhile", () => {
    exploreAll({
      late: 1,
      ms: [
        (m) => {
          const wake = worker(m);
          m.t.begin();
          stop(m, null);
          m.threads.sleep(wake);
        },
        (m) => {
          m.t.begin();
          m.attach();
          const wake = worker(m);
          work(m);
          m.threads.sleep(wake);
        },
      ],
      end: ({ mem }) => void verifyThreads(mem),
    });
  });

  // Fault: an M that polls after it has abandoned its place counts as running again.
  it("passes over an M that has abandoned its place, whatever it does before its thread ends", () => {
    exploreAll({
      ms: [
        (m) => {
          const wake = worker(m);
          m.t.begin();
          stop(m, null);
          m.t.mark(1);
          stop(m, null);
          m.t.mark(2);
          m.threads.sleep(wake);
        },
        ({ t, threads }) => {
          threads.setLocked(true);
          t.begin();
          threads.abandon();
          threads.poll();
          t.note("polled");
        },
      ],
      end: ({ mem, notes }) => {
        verifyThreads(mem);
        expect(notes[1]).toEqual(["polled"]);
        const rec = mem.u32[(mem.root(ROOT_THREADS) + SCHED_AT.ms + 4) >>> 2];
        expect(mem.u32[(rec + MREC_AT.state) >>> 2]).toBe(M_GONE);
      },
    });
  });

  // Faults: `died` and `attach` both take the M off those that start; the thread goes on with an M that is free.
  it("finds each M counted once if it attaches while another takes it for dead", () => {
    exploreAll({
      late: 1,
      ms: [
        (m) => {
          const { t, threads } = m;
          const wake = worker(m);
          const thread = threads.threadOf(1);
          t.begin();
          t.note(threads.died(1, thread));
          stop(m, null);
          threads.sleep(wake);
        },
        (m) => {
          m.t.begin();
          try {
            m.attach();
            m.t.note(true);
          } catch (e) {
            if (!(e instanceof RangeError)) throw e;
            m.t.note(false);
          }
        },
      ],
      end: ({ mem, notes }) => {
        verifyThreads(mem);
        expect(notes[1]).toEqual(notes[0]);
      },
    });
  });

  // Faults: the stop does not look whether the thread lives; the M is not made M_GONE, so that the next stop fails too.
  it("fails once for an M whose thread ends at any step, or not at all", () => {
    exploreAll({
      mortal: [1],
      ms: [
        (m) => {
          const { t, threads } = m;
          worker(m);
          t.begin();
          for (let k = 0; k < 2; k++) {
            try {
              threads.stopTheWorld("the model");
            } catch (e) {
              t.note((e as Error).message);
              continue;
            }
            set(m, STOPPER, 1);
            t.choose(1);
            set(m, STOPPER, 0);
            threads.startTheWorld();
          }
        },
        (m) => {
          worker(m);
          m.t.begin();
          work(m);
          m.threads.poll();
          work(m);
          m.threads.leave();
        },
      ],
      end: ({ notes }) => {
        const text = "threads: M 1 has ended without leaving";
        expect([[], [text]]).toContainEqual(notes[0]);
      },
    });
  });

  // Fault: an M that is stopped does not look whether the stopper lives.
  it("is left with an error if the thread that has stopped the world ends", () => {
    exploreAll({
      mortal: [1],
      ms: [
        (m) => {
          const { t, threads } = m;
          threads.setLocked(true);
          const wake = (): void => {
            try {
              threads.awake();
              threads.poll();
              work(m);
            } catch (e) {
              t.note((e as Error).message);
              return;
            }
            threads.sleep(wake);
          };
          t.begin();
          work(m);
          wake();
        },
        (m) => {
          worker(m);
          m.t.begin();
          stop(m, null);
        },
      ],
      end: ({ notes }) => {
        const text = "threads: M 1 has ended while it had stopped the world";
        expect([[], [text]]).toContainEqual(notes[0]);
      },
    });
  });
});
