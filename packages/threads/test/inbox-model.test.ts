import { ROOT_THREADS } from "@gort/memory/internal";
import { describe, expect, it } from "vitest";
import { push, setSignal } from "../src/inbox.ts";
import { SharedState } from "../src/shared-state.ts";
import { verifyThreads } from "../src/testing.ts";
import { exploreAll, type M } from "./explore-kit.ts";

/** Inboxes (inbox.ts), in all interleavings of those that post and the M that takes. */

describe("an inbox", { timeout: 120_000 }, () => {
  // Faults that it kills: push stores the head without a CAS, or does not try again; take loads and then stores the
  // head, or does not reverse the list; the signal of another M drops nodes.
  it("delivers each node once, those of one M in the order of its posts", () => {
    const sharedBy = ({ t, threads }: M): SharedState =>
      new SharedState(t.mem, t.mem.root(ROOT_THREADS), threads.m, t.host);
    exploreAll({
      ms: [
        (m) => {
          const { t, threads } = m;
          threads.onNode = (node) => t.note(node);
          t.begin();
          threads.poll();
          t.mark(1);
          threads.poll();
        },
        (m) => {
          const s = sharedBy(m);
          m.t.begin();
          push(s, 0, m.record(0));
          m.t.mark(1);
          push(s, 0, m.record(1));
        },
        (m) => {
          const s = sharedBy(m);
          m.t.begin();
          push(s, 0, m.record(2));
          m.t.mark(1);
          setSignal(s, s.mrec(0));
        },
      ],
      end({ mem, notes, nodesOf, numberOf }) {
        const got = ([...notes[0], ...nodesOf(0)] as number[]).map(numberOf);
        expect(got.toSorted()).toEqual([0, 1, 2]);
        expect(got.indexOf(0)).toBeLessThan(got.indexOf(1));
        verifyThreads(mem);
      },
    });
  });

  // Faults: an inbox is closed without a look at its nodes; push ignores that it is closed.
  it("that closes either delivers a node or refuses it", () => {
    exploreAll({
      ms: [
        ({ t, threads, record }) => {
          t.begin();
          try {
            threads.post(1, record(0));
            t.note("posted");
          } catch (error) {
            t.note((error as Error).message);
          }
        },
        ({ t, threads }) => {
          threads.setLocked(true);
          threads.onNode = (node) => t.note(node);
          t.begin();
          threads.leave();
        },
        ({ t, threads, record }) => {
          t.begin();
          try {
            threads.post(1, record(1));
            t.note("posted");
          } catch (error) {
            t.note((error as Error).message);
          }
        },
      ],
      end({ mem, notes, numberOf }) {
        const got = (notes[1] as number[]).map(numberOf);
        for (const [node, m] of [0, 2].entries()) {
          const fate = got.includes(node) ? "posted" : expect.stringContaining("post to an M that has left");
          expect(notes[m]).toEqual([fate]);
        }
        verifyThreads(mem);
      },
    });
  });
});
