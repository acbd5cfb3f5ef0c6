/**
 * select with cases whose channels other threads share. Local channels may be among the cases.
 *
 * Other threads change shared channels at any time, so the decision needs the locks of all of them at once. A local
 * channel changes only on this thread, so it needs none.
 *
 *   1. Read and check the values to send: code of the program. Then shuffle the cases into a poll order.
 *   2. Find the first case in poll order that has a local channel and looks ready.
 *   3. Lock the shared channels, in the order of their addresses. Perform the first shared case that can proceed and
 *      stands before the case of step 2. Unlock, and wake its partner.
 *   4. Otherwise unlock, and perform the case of step 2. This fails if the partner's select has chosen another case,
 *      whose channel is shared. Then start again at step 2: the partner has left the queue.
 *   5. If no case can proceed, take `default`. Otherwise the goroutine joins all queues under the same locks under
 *      which no case could proceed. What it needs for that is allocated before. So the first time the locks are
 *      released at this point, and steps 2 to 4 are repeated. Without locks nothing can change meanwhile.
 *   6. Wait. A partner in a shared queue decides the select by a CAS, and so does a partner in a local queue
 *      (`SharedWait.claim`): one case wins. The goroutine leaves the other queues when it runs again.
 *
 * Under the locks no code of the program runs, nothing is allocated, and nothing fails.
 */

import { sendOnClosed } from "./chan.ts";
import { none } from "./chan-types.ts";
import type { G, Schedt, SharedWait, Sudog } from "./runtime2.ts";
import {
  badCase,
  DIR_DEFAULT,
  DIR_RECV,
  DIR_SHARED_SEND,
  finishLocal,
  joinQueue,
  leaveQueues,
  SelectCase,
  type SelectResult,
  SharedCase,
  twoDefaults,
} from "./select-case.ts";
import { CASE_CLOSED, CASE_WAITS, type SharedChan } from "./shared-chan.ts";

/** Stands for the value of a case that sends nothing, or whose value was not read yet. */
const nothing = Symbol();

/** A select until it is decided, or waits. The objects are used again. */
class SharedSelect {
  /** The cases by position: other code may change the list of the program. */
  private readonly cases: SelectCase[] = [];
  /** Positions of the cases with a channel, in poll order. */
  private readonly order: number[] = [];
  /** By position: the results of `take` and of `ready`. */
  private readonly taken: unknown[] = [];
  private readonly readied: unknown[] = [];
  /** The shared channels, in the order of their locks. A channel may be there twice. */
  private chans: SharedChan[] = [];
  /** Position of `default`, or -1. */
  private dflt = -1;
  /** The wait that step 5 has prepared. */
  private wait: SharedWait | null = null;
  /** Of the last shared case that was tried: see shared-chan.ts. */
  private outcome = CASE_WAITS;

  run(sched: Schedt, g: G, cases: readonly SelectCase[]): SelectResult | null {
    try {
      this.readCases(cases);
      this.shuffle(sched);
      return this.decide(g);
    } finally {
      this.reset();
    }
  }

  // ---- step 1

  private readCases(cases: readonly SelectCase[]): void {
    for (let i = 0; i < cases.length; i++) {
      const k = cases[i];
      if (!(k instanceof SelectCase)) throw badCase(k, i);
      this.cases.push(k);
      if (k instanceof SharedCase) this.addChan(k.chan, i);
      if (k.dir !== DIR_DEFAULT) continue;
      if (this.dflt >= 0) throw twoDefaults(this.dflt, i);
      this.dflt = i;
    }
    for (const k of this.cases) {
      const sends = k.dir === DIR_SHARED_SEND;
      this.taken.push(sends ? (k as SharedCase).chan.take(k.value) : nothing);
      // A tick that is due counts.
      if (k.dir === DIR_RECV && k.c !== null) k.c.timer?.maybeRunChan();
    }
  }

  private addChan(c: SharedChan, i: number): void {
    const { chans } = this;
    chans.push(c);
    if (c.group === chans[0].group) return;
    throw new TypeError(
      `scheduler: select: case ${i} has a channel of another heap than the cases before it`,
    );
  }

  /** From here on no code of the program runs. */
  private shuffle(sched: Schedt): void {
    const { cases, chans, order, readied, taken } = this;
    for (let i = 0; i < cases.length; i++) {
      const k = cases[i];
      if (k instanceof SharedCase) {
        if (k.dir === DIR_SHARED_SEND) readied[i] = k.chan.ready(taken[i]);
        else k.chan.reserve();
      } else if (k.c === null) {
        continue;
      }
      const n = order.length;
      const j = n === 0 ? 0 : sched.randn(n + 1);
      order.push(i);
      order[n] = order[j];
      order[j] = i;
    }
    if (chans.length > 1) chans.sort((a, b) => a.order - b.order);
  }

  private reset(): void {
    const { cases, order, taken, readied } = this;
    if (this.wait !== null) this.chans[0].group.endSelect(this.wait);
    for (let i = 0; i < taken.length; i++) {
      if (taken[i] !== nothing) (cases[i] as SharedCase).chan.drop(taken[i]);
    }
    cases.length = 0;
    order.length = 0;
    taken.length = 0;
    readied.length = 0;
    this.chans = [];
    this.dflt = -1;
    this.wait = null;
  }

  // ---- steps 2 to 5

  private decide(g: G): SelectResult | null {
    const { order, dflt } = this;
    const end = order.length;
    for (;;) {
      const local = this.firstLocal();
      const locked = this.lockAll();
      const shared = this.firstShared(local);
      if (shared === end && local === end && dflt < 0 && (this.wait !== null || !locked)) {
        this.join(g);
        return null;
      }
      this.unlockAll(this.chans.length);
      if (shared < end) return this.performed(order[shared]);
      if (local < end) {
        const r = performLocal(this.cases[order[local]], order[local]);
        if (r !== null) return r;
      } else if (dflt >= 0) {
        return { index: dflt, value: undefined, ok: false };
      } else {
        this.prepareWait(g);
      }
    }
  }

  /** Place in `order` of the first local case that looks ready, or the length of `order`. */
  private firstLocal(): number {
    const { cases, order } = this;
    for (let j = 0; j < order.length; j++) {
      const { c, dir } = cases[order[j]];
      if (c === null) continue;
      if (c.closed || (dir === DIR_RECV ? c.sendq.first !== null || c.qcount > 0 : c.recvq.first !== null))
        return j;
      if (dir !== DIR_RECV && c.qcount < c.dataqsiz) return j;
    }
    return order.length;
  }

  /** Locks the shared channels. Returns whether another thread may use one of them. */
  private lockAll(): boolean {
    const { chans } = this;
    let any = false;
    let i = 0;
    try {
      for (; i < chans.length; i++) {
        if (!chans[i].needsLock) continue;
        any = true;
        if (this.isFirst(i)) chans[i].lockForSelect();
      }
    } catch (e) {
      // A thread has ended under a lock, and the program ends.
      this.unlockAll(i);
      throw e;
    }
    return any;
  }

  private unlockAll(n: number): void {
    const { chans } = this;
    for (let i = n - 1; i >= 0; i--) if (chans[i].needsLock && this.isFirst(i)) chans[i].unlockForSelect();
  }

  /** Whether the channel at `i` does not stand before it. */
  private isFirst(i: number): boolean {
    const { chans } = this;
    return i === 0 || chans[i - 1].order !== chans[i].order;
  }

  /** Performs the first shared case before `limit` that can proceed. Returns its place, or the length of `order`. */
  private firstShared(limit: number): number {
    const { cases, order, readied } = this;
    for (let j = 0; j < limit; j++) {
      const k = cases[order[j]];
      if (!(k instanceof SharedCase)) continue;
      const sends = k.dir === DIR_SHARED_SEND;
      this.outcome = sends ? k.chan.selectSend(readied[order[j]]) : k.chan.selectRecv();
      if (this.outcome !== CASE_WAITS) return j;
    }
    return order.length;
  }

  /** The result of a shared case that was performed, or whose channel is closed. */
  private performed(index: number): SelectResult {
    const k = this.cases[index] as SharedCase;
    const sends = k.dir === DIR_SHARED_SEND;
    if (this.outcome === CASE_CLOSED) return result(index, sends, false, undefined);
    return result(index, sends, true, k.chan.afterSelect(!sends));
  }

  private prepareWait(g: G): void {
    const { cases, chans, order, readied } = this;
    const { group } = chans[0];
    const w = group.beginSelect(g, chans);
    this.wait = w;
    for (let j = 0; j < order.length; j++) {
      const index = order[j];
      const k = cases[index];
      if (k instanceof SharedCase) group.addCase(w, k.chan, index, k.dir === DIR_SHARED_SEND, readied[index]);
    }
  }

  /** Enters all queues, in poll order, and releases the locks. */
  private join(g: G): void {
    const { cases, chans, order } = this;
    if (this.wait === null) this.prepareWait(g);
    chans[0].group.enqueueCases(this.wait!);
    this.wait = null;
    this.unlockAll(chans.length);
    g.param = null;
    let last: Sudog | null = null;
    for (let j = 0; j < order.length; j++) {
      const k = cases[order[j]];
      if (k.c !== null) last = joinQueue(g, k, order[j], last);
    }
  }
}

/** Step 4. Returns null if the partner has chosen another case. */
function performLocal(k: SelectCase, index: number): SelectResult | null {
  const c = k.c!;
  if (k.dir !== DIR_RECV) return c.sendNow(k.value) ? result(index, true, true, undefined) : null;
  const v = c.recvNow();
  if (v !== none) return result(index, false, true, v);
  return c.closed ? result(index, false, false, undefined) : null;
}

/** The result of the case at `index`. Without `ok` its channel is closed, and a send panics. */
function result(index: number, sends: boolean, ok: boolean, value: unknown): SelectResult {
  if (!sends) return { index, value, ok } as SelectResult;
  if (!ok) throw sendOnClosed();
  return { index, value: undefined, ok: false };
}

/** An object for the next select; null while it is in use. */
let spare: SharedSelect | null = null;

/** Performs a case, or enters the queues of all cases and returns null: then the caller parks `g`. */
export function selectShared(sched: Schedt, g: G, cases: readonly SelectCase[]): SelectResult | null {
  const select = spare ?? new SharedSelect();
  spare = null;
  const r = select.run(sched, g, cases);
  // After an error it may still have the cases: `reset` fails if a thread has ended under a lock.
  spare = select;
  return r;
}

/** Step 6, when `g` runs again: its result. */
export function finishShared(g: G): SelectResult {
  const w = g.shared!;
  const { group } = (w.hold as readonly SharedChan[])[0];
  const local = g.param !== null;
  if (!local) leaveQueues(g);
  const chosen = group.endSelect(w);
  if (local) return finishLocal(g);
  const { index, sends, ok, value } = chosen!;
  return result(index, sends, ok, value);
}
