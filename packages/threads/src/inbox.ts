/**
 * Inboxes: a lock-free stack of nodes per M (R. K. Treiber, 1986) with many producers and one consumer.
 *
 *     push   next of the node = head; CAS the head to the node; again if another producer was faster
 *     take   exchange the head for 0, then reverse the list: the nodes come in the order of the pushes
 *
 * The consumer takes the whole list, never a single node, so ABA does no harm: a head that is equal again has the same
 * meaning again.
 *
 * The low bits of the head are flags. INBOX_SIGNAL asks the M to look around without a node: the world is to stop, or
 * a P was given to it. So one plain load of the head tells an M that another thread wants something. INBOX_CLOSED
 * refuses nodes for an M that has left.
 */
import { throwFatal } from "@gort/base";
import { INBOX_CLOSED, INBOX_FLAGS, INBOX_SIGNAL, MREC_AT } from "./layout.ts";
import { NODE_NEXT } from "./runtime2.ts";
import type { SharedState } from "./shared-state.ts";

const INBOX = MREC_AT.inbox;

/** Puts a node into the inbox of M m. The caller wakes the M. */
export function push(s: SharedState, m: number, node: number): void {
  const { kernel, u32 } = s;
  const rec = s.mrec(m);
  for (;;) {
    const head = kernel.load(rec + INBOX);
    if ((head & INBOX_CLOSED) !== 0)
      throwFatal("threads: post to an M that has left", `M ${m}, node ${node}`);
    u32[(node + NODE_NEXT) >>> 2] = head & ~INBOX_FLAGS;
    if (kernel.cas(rec + INBOX, head, node | (head & INBOX_FLAGS)) === head) return;
  }
}

/** Asks the M of the record to look around. The caller wakes the M. */
export function setSignal(s: SharedState, rec: number): void {
  s.kernel.or(rec + INBOX, INBOX_SIGNAL);
}

/** Takes all nodes of this thread's inbox, and clears the signal. Returns the oldest node, or 0. */
export function takeAll(s: SharedState): number {
  const { u32 } = s;
  let node = (s.kernel.xchg(s.rec + INBOX, 0) & ~INBOX_FLAGS) >>> 0;
  let oldest = 0;
  while (node !== 0) {
    const at = (node + NODE_NEXT) >>> 2;
    const older = u32[at];
    u32[at] = oldest;
    oldest = node;
    node = older;
  }
  return oldest;
}

/** Closes this thread's inbox. False if it is not empty. */
export function close(s: SharedState): boolean {
  return s.kernel.cas(s.rec + INBOX, 0, INBOX_CLOSED) === 0;
}
