import { ROOT_THREADS } from "@gort/memory/internal";
import { describe, expect, it } from "vitest";
import { push } from "../src/inbox.ts";
import { Parking } from "../src/park.ts";
import { SharedState } from "../src/shared-state.ts";
import { verifyThreads } from "../src/testing.ts";
import { type EndOfMs, exploreAll, type M, set } from "./explore-kit.ts";

/**
 * How Ms sleep, wake each other, and learn that all of them sleep (park.ts): all interleavings. The words: nodes
 * delivered, whether M 0 knows that no other M is busy, and whether it has posted a node to itself.
 */
const DELIVERED = 0;
const QUIET = 1;
const CALLED = 2;

/** An M polls when it is woken, and sleeps again. Returns its wake. It takes no tasks, so that it is not offered. */
function sleeper({ t, threads, word }: M): () => void {
  threads.setLocked(true);
  threads.onNode = () => void t.count(word(DELIVERED));
  const wake = (): void => {
    threads.awake();
    threads.poll();
    threads.sleep(wake);
  };
  return wake;
}

/**
 * As the scheduler of M 0: each time that it has gone to sleep, it looks whether the others are busy. If they are not,
 * all `nodes` nodes have been delivered. -1: any number may be under way, to M 0 itself or because of the host.
 */
function looker(m: M, nodes: number): { wake: () => void; look: () => void } {
  const { t, threads, word } = m;
  threads.setLocked(true);
  const call = m.record(63);
  threads.onAllIdle = () => {
    if (t.peek(word(CALLED)) !== 0) return;
    set(m, CALLED, 1);
    threads.post(0, call);
  };
  threads.onNode = (node) => {
    if (node === call) set(m, CALLED, 0);
    else t.count(word(DELIVERED));
  };
  const look = (): void => {
    const quiet = threads.othersBusy === 0;
    if (quiet && nodes >= 0) expect(t.peek(word(DELIVERED))).toBe(nodes);
    set(m, QUIET, quiet ? 1 : 0);
  };
  const wake = (): void => {
    threads.awake();
    threads.poll();
    threads.sleep(wake);
    look();
  };
  return { wake, look };
}

/** The end of all models: all nodes are delivered, and M 0 knows that no M is busy. */
function expectQuiet(nodes: number): (end: EndOfMs) => void {
  return ({ mem, word }) => {
    verifyThreads(mem);
    expect([word(QUIET), word(DELIVERED)]).toEqual([1, nodes]);
  };
}

describe("Ms that sleep", { timeout: 120_000 }, () => {
  // Faults that it kills: a shared count of busy Ms that a waker takes back; M 0 does not look after a wake-up in vain.
  it("tell M 0 when all are idle, in a bounded number of steps", () => {
    exploreAll({
      ms: [
        (m) => {
          const { wake } = looker(m, -1);
          m.t.begin();
          wake();
        },
        (m) => {
          const wake = sleeper(m);
          m.t.begin();
          m.threads.post(0, m.record(0));
          m.t.mark(1);
          wake();
        },
      ],
      end: expectQuiet(1),
    });
  });

  // Fault: no M tells M 0.
  it("tell M 0 when the last of several parks", () => {
    exploreAll({
      ms: [
        (m) => {
          const { wake } = looker(m, 0);
          wake();
          m.t.begin();
        },
        (m) => {
          const wake = sleeper(m);
          m.t.begin();
          wake();
        },
        (m) => {
          const wake = sleeper(m);
          m.t.begin();
          wake();
        },
      ],
      end: expectQuiet(0),
    });
  });

  // Faults: M 0 reads `wakes` once; a waker does not add to it. M 0 looks at M 1 first, so M 2 posts.
  it("are never idle for M 0 while a node is under way", () => {
    exploreAll({
      ms: [
        (m) => {
          const { wake, look } = looker(m, 1);
          wake();
          m.t.begin();
          look();
        },
        (m) => {
          sleeper(m)();
          m.t.begin();
        },
        (m) => {
          const wake = sleeper(m);
          m.t.begin();
          m.threads.post(1, m.record(0));
          m.t.mark(1);
          m.threads.sleep(wake);
        },
      ],
      end: expectQuiet(1),
    });
  });

  // Fault: the count reads inboxes first.
  it("are never idle for M 0 if they park with a node in their inbox", () => {
    const parts = ({ t, threads }: M): { s: SharedState; parking: Parking } => {
      const s = new SharedState(t.mem, t.mem.root(ROOT_THREADS), threads.m, t.host);
      return { s, parking: new Parking(s, () => {}) };
    };
    exploreAll({
      ms: [
        (m) => {
          const { parking } = parts(m);
          m.t.begin();
          expect(parking.othersBusy).toBeGreaterThan(0);
        },
        (m) => {
          const { parking } = parts(m);
          m.t.begin();
          parking.park();
        },
        (m) => {
          const { s, parking } = parts(m);
          m.t.begin();
          push(s, 1, m.record(0));
          parking.unpark(s.mrec(1));
          parking.park();
        },
      ],
      end: ({ mem }) => void verifyThreads(mem),
    });
  });

  // Faults: the count ignores inboxes; an M that wakes itself does not add to `wakes`; `arm` does not look at the
  // inbox; a notify is left out.
  it("lose no node if they also work by events of their own", () => {
    exploreAll({
      ms: [
        (m) => {
          const { wake } = looker(m, 2);
          m.t.begin();
          m.threads.post(1, m.record(0));
          m.t.mark(1);
          m.threads.post(1, m.record(1));
          m.t.mark(2);
          wake();
        },
        (m) => {
          const wake = sleeper(m);
          m.t.begin();
          m.t.host.task(function ownEvent() {
            wake();
          });
          m.threads.sleep(wake);
        },
      ],
      end: expectQuiet(2),
    });
  });

  // Faults: `othersBusy`, or the M that parks, takes a change of `wakes` for a busy M.
  it("tell M 0 although host code that posts on an idle M is late", () => {
    exploreAll({
      ms: [
        (m) => {
          const { wake } = looker(m, -1);
          wake();
          m.t.begin();
        },
        (m) => {
          const wake = sleeper(m);
          m.t.begin();
          m.threads.sleep(wake);
        },
        (m) => {
          sleeper(m)();
          m.t.begin();
          m.t.host.task(function hostCode() {
            m.threads.post(1, m.record(0));
          });
        },
      ],
      end: expectQuiet(1),
    });
  });

  // Fault: an M that leaves tells no other.
  it("learn that the last busy M has left", () => {
    exploreAll({
      ms: [
        (m) => {
          const { wake } = looker(m, 1);
          m.t.begin();
          wake();
        },
        (m) => {
          const { t, threads, word } = m;
          sleeper(m);
          threads.onNode = () => void t.count(word(DELIVERED));
          threads.post(1, m.record(0));
          t.begin();
          threads.leave();
        },
      ],
      end: expectQuiet(1),
    });
  });
});
