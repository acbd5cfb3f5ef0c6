/** The stack of grey objects against a plain list: nothing is lost, invented or handed out twice. */
import { describe, expect, it } from "vitest";
import { GCWORK_AT, MARK_AT, WORKBUF_BYTES, WORKBUF_HEADER } from "../src/mark-state.ts";
import { Marker } from "../src/mgcmark.ts";
import { beginMarking } from "./graph.ts";
import { MiB, random, rig } from "./kit.ts";

/** Addresses that a piece of the stack holds. */
const PIECE = (WORKBUF_BYTES - WORKBUF_HEADER) / 4;

function setUp() {
  const r = rig({ maxMemory: 128 * MiB, shared: true });
  const marker = new Marker(r.gc.heap, "js");
  beginMarking(r, marker);
  const { bufs, work: w } = marker;
  const { u32 } = r;
  const at = (w + GCWORK_AT.sp) >>> 2;
  const mask = WORKBUF_BYTES - 1;
  const stack = {
    push(x: number): boolean {
      if ((u32[at] & mask) === 0 && !bufs.grow(w)) return false;
      u32[u32[at] >>> 2] = x;
      u32[at] += 4;
      return true;
    },
    /** 0: there is none. */
    pop(): number {
      if ((u32[at] & mask) === WORKBUF_HEADER && !bufs.refill(w)) return 0;
      u32[at] -= 4;
      return u32[u32[at] >>> 2];
    },
    inHand: () => (u32[at] - u32[(w + GCWORK_AT.buf) >>> 2] - WORKBUF_HEADER) / 4,
  };
  return { ...r, marker, bufs, w, stack };
}

describe("the stack of grey objects", () => {
  it("gives back its addresses across its pieces, last first in each", () => {
    const { stack, bufs, marker } = setUp();
    const n = 5 * PIECE + 7;
    for (let i = 1; i <= n; i++) stack.push(i);
    expect(bufs.noneFull).toBe(false);
    const seen: number[] = [];
    for (let x = stack.pop(); x !== 0; x = stack.pop()) seen.push(x);
    expect(seen.slice(0, 7)).toEqual([7, 6, 5, 4, 3, 2, 1].map((i) => 5 * PIECE + i));
    expect(seen.sort((x, y) => y - x)).toEqual(Array.from({ length: n }, (_, i) => n - i));
    expect([bufs.noneFull, marker.idle]).toEqual([true, true]);
    marker.releaseWorkbufs();
  });

  it("leaves the lists alone around the boundary of two pieces", () => {
    const { stack, bufs, a } = setUp();
    for (let i = 1; i <= PIECE; i++) stack.push(i);
    const before = a.nspans;
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 5; i++) stack.push(1000 + i);
      expect(bufs.noneFull).toBe(true);
      for (let i = 4; i >= 0; i--) expect(stack.pop()).toBe(1000 + i);
    }
    expect(a.nspans).toBe(before);
    expect(stack.pop()).toBe(PIECE);
  });

  it("hands a part over: the spare piece, or half of the one in hand, if there are 8 at least", () => {
    const { stack, bufs, w } = setUp();
    for (let i = 1; i <= 7; i++) stack.push(i);
    expect([bufs.share(w), bufs.noneFull]).toEqual([false, true]);
    stack.push(8);
    expect([bufs.share(w), bufs.noneFull, stack.inHand()]).toEqual([true, false, 4]);
    // The upper half went; what is left is the lower one.
    expect([stack.pop(), stack.pop(), stack.pop(), stack.pop()]).toEqual([4, 3, 2, 1]);
    expect([stack.pop(), stack.pop(), stack.pop(), stack.pop(), stack.pop()]).toEqual([8, 7, 6, 5, 0]);
    for (let i = 1; i <= 11; i++) stack.push(i);
    expect([bufs.share(w), stack.inHand()]).toEqual([true, 6]);
    while (stack.pop() !== 0);
    for (let i = 1; i <= PIECE + 3; i++) stack.push(i);
    // The spare piece is full, and goes as it is.
    expect([bufs.share(w), stack.inHand(), bufs.noneFull]).toEqual([true, 3, false]);
    expect(bufs.share(w)).toBe(false);
    const rest: number[] = [];
    for (let x = stack.pop(); x !== 0; x = stack.pop()) rest.push(x);
    expect(rest).toEqual([
      ...[3, 2, 1].map((i) => PIECE + i),
      ...Array.from({ length: PIECE }, (_, i) => PIECE - i),
    ]);
  });

  it("takes eight pieces from the heap at a time, and uses those that were emptied first", () => {
    const { stack, gc, w, bufs, marker } = setUp();
    const { heap } = gc;
    const { allocWork } = heap;
    let chunks = 0;
    heap.allocWork = () => {
      chunks++;
      return allocWork.call(heap);
    };
    const push = (n: number) => {
      let room = true;
      for (let i = 1; i <= n; i++) room &&= stack.push(i);
      expect(room).toBe(true);
    };
    // Two pieces are the thread's own.
    push(2 * PIECE);
    expect(chunks).toBe(0);
    push(8 * PIECE);
    expect(chunks).toBe(1);
    push(1);
    expect(chunks).toBe(2);
    while (stack.pop() !== 0);
    push(18 * PIECE);
    expect(chunks).toBe(2);
    push(1);
    expect(chunks).toBe(3);
    while (stack.pop() !== 0);
    // Handing over takes an empty piece too.
    push(8);
    expect([bufs.share(w), chunks]).toEqual([true, 3]);
    while (stack.pop() !== 0);
    marker.releaseWorkbufs();
    push(2 * PIECE);
    expect(chunks).toBe(3);
    push(1);
    expect(chunks).toBe(4);
    while (stack.pop() !== 0);
    marker.releaseWorkbufs();
    push(8);
    expect([bufs.share(w), chunks]).toEqual([true, 5]);
  });

  it("says that there is no memory, and loses nothing then", () => {
    const { stack, bufs, w, gc } = setUp();
    gc.heap.allocWork = () => 0;
    let n = 0;
    while (n < 100 * PIECE && stack.push(n + 1)) n++;
    expect(n).toBeGreaterThanOrEqual(2 * PIECE);
    expect(n % PIECE).toBe(0);
    // The spare piece can be handed over only for another.
    expect(bufs.share(w)).toBe(false);
    const seen = Array.from({ length: n }, () => stack.pop());
    expect(seen.sort((x, y) => x - y)).toEqual(Array.from({ length: n }, (_, i) => i + 1));
    expect(stack.pop()).toBe(0);
  });

  it("holds the same as a list under any mixture of pushes, pops and shares, and gives all memory back", () => {
    const { stack, bufs, w, gc, marker, u32 } = setUp();
    const { heap } = gc;
    const chunks = new Set<number>();
    const { allocWork, freeWork } = heap;
    heap.allocWork = () => {
      const chunk = allocWork.call(heap);
      chunks.add(chunk);
      return chunk;
    };
    heap.freeWork = (chunk) => {
      expect(chunks.delete(chunk)).toBe(true);
      freeWork.call(heap, chunk);
    };
    const rnd = random(99);
    const held = new Set<number>();
    const wrong: number[] = [];
    const take = (x: number): void => {
      if (!held.delete(x)) wrong.push(x);
    };
    let next = 1;
    for (let i = 0; i < 200; i++) {
      const n = rnd(3 * PIECE);
      const what = rnd(5);
      if (what < 2) {
        for (let k = 0; k < n; k++) {
          held.add(next);
          stack.push(next++);
        }
      } else if (what < 4) {
        for (let k = 0; k < n; k++) {
          const x = stack.pop();
          if (x === 0) {
            expect(held.size).toBe(0);
            break;
          }
          take(x);
        }
      } else bufs.share(w);
    }
    for (let x = stack.pop(); x !== 0; x = stack.pop()) take(x);
    expect([held.size, wrong]).toEqual([0, []]);
    expect(chunks.size).toBeGreaterThan(0);
    marker.releaseWorkbufs();
    expect(chunks.size).toBe(0);
    expect(u32[(marker.state.mark + MARK_AT.chunks) >>> 2]).toBe(0);
  });
});
