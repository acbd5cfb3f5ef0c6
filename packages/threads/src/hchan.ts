/** The record of a channel in the heap, Go's hchan, and its wait queues. chan.ts has the essay. */

import type { Addr } from "@gort/memory";
import { defineStruct, u32s } from "@gort/memory/internal";
import { SUDOG_AT, type Waiters } from "./sudog.ts";

/**
 * It has the size of Go's record, so that MemStats counts the allocations of a channel as Go's does. The buffer of
 * elements without pointers follows in the same object, as in Go.
 *
 *     0  lock        guards all words but those from dataqsiz on, which never change
 *    40  buf         the only pointer
 *
 * The words that each operation changes come first: 32 bytes. So for three of four records of 112 bytes they lie on one
 * line of the cache, which two threads then pass to and fro, instead of two. `closed` changes once.
 */
export const HCHAN = defineStruct("hchan", {
  lock: "u32",
  /** Elements in the buffer. */
  qcount: "u32",
  /** Queues of sudogs: the first and the last of each. */
  recvq: u32s(2),
  sendq: u32s(2),
  /** Index of the next element that is sent to the buffer, and of the next one that is received from it. */
  sendx: "u32",
  recvx: "u32",
  closed: "u32",
  /** Elements for which the buffer has room. */
  dataqsiz: "u32",
  /** Address of the buffer: a pointer slot. */
  buf: "u32",
  bufHigh: "u32",
  elemsize: "u32",
  /** Number of the element type (TypeRecords of types). 0 while only one thread knows the channel. */
  elemtype: "u32",
  unused: u32s(14),
});
export const HCHAN_AT = HCHAN.offsets;

/** Stands for a received value when the channel is closed and drained. */
export const ended = Symbol("gort.ended");

/** Offset of the last sudog in a queue. */
const LAST = 4;

/** Puts a sudog at the tail of queue q of channel c. The caller holds the lock. */
export function enqueue(u32: Uint32Array, c: number, q: number, sg: Addr): void {
  const last = u32[(q + LAST) >>> 2];
  const i = sg >>> 2;
  u32[i + (SUDOG_AT.queue >>> 2)] = c;
  u32[i + (SUDOG_AT.q >>> 2)] = q;
  u32[i + (SUDOG_AT.queued >>> 2)] = 1;
  u32[i + (SUDOG_AT.next >>> 2)] = 0;
  u32[i + (SUDOG_AT.prev >>> 2)] = last;
  u32[(last === 0 ? q : last + SUDOG_AT.next) >>> 2] = sg;
  u32[(q + LAST) >>> 2] = sg;
}

/**
 * Takes the first sudog out of queue q, and ends its wait; 0 if the queue is empty. A sudog whose wait has ended by
 * another sudog is dropped. The caller holds the lock.
 */
export function dequeue(waiters: Waiters, q: number): Addr {
  const { u32 } = waiters;
  for (;;) {
    const sg = u32[q >>> 2] as Addr;
    if (sg === 0) return sg;
    const next = u32[(sg + SUDOG_AT.next) >>> 2];
    u32[q >>> 2] = next;
    u32[(next === 0 ? q + LAST : next + SUDOG_AT.prev) >>> 2] = 0;
    if (waiters.win(sg)) return sg;
  }
}

/** Takes a sudog out of the queue in which it stands. The caller holds the lock. */
export function unlink(u32: Uint32Array, sg: Addr): void {
  const i = sg >>> 2;
  const q = u32[i + (SUDOG_AT.q >>> 2)];
  const next = u32[i + (SUDOG_AT.next >>> 2)];
  const prev = u32[i + (SUDOG_AT.prev >>> 2)];
  u32[(prev === 0 ? q : prev + SUDOG_AT.next) >>> 2] = next;
  u32[(next === 0 ? q + LAST : next + SUDOG_AT.prev) >>> 2] = prev;
  u32[i + (SUDOG_AT.queued >>> 2)] = 0;
}
