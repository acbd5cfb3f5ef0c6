/** Walkers and builders for tests of threads. */
import type { Addr, LinearMemory } from "@gort/memory";
import { HCHAN_AT } from "./hchan.ts";
import { SUDOG_AT } from "./sudog.ts";

export { verifyArgs } from "./verify-args.ts";

/** Checks the invariants of a channel (see chan.ts), which no thread uses meanwhile. */
export function verifyChan(mem: LinearMemory, c: Addr): void {
  const { u32 } = mem;
  const word = (addr: number): number => u32[addr >>> 2];
  const [qcount, dataqsiz] = [word(c + HCHAN_AT.qcount), word(c + HCHAN_AT.dataqsiz)];
  const [sendx, recvx] = [word(c + HCHAN_AT.sendx), word(c + HCHAN_AT.recvx)];
  const fail = (what: string): never => {
    throw new Error(`threads: channel 0x${c.toString(16)}: ${what} (qcount ${qcount}, dataqsiz ${dataqsiz})`);
  };
  if (word(c + HCHAN_AT.lock) !== 0) fail("the lock is held");
  if (qcount > dataqsiz) fail("too many elements");
  if (dataqsiz === 0 ? sendx + recvx !== 0 : sendx !== (recvx + qcount) % dataqsiz) {
    fail(`sendx ${sendx} and recvx ${recvx} do not fit`);
  }
  const receivers = waiting(mem, c + HCHAN_AT.recvq, c);
  const senders = waiting(mem, c + HCHAN_AT.sendq, c);
  if (receivers > 0 && qcount > 0) fail("a receiver waits beside an element");
  if (senders > 0 && qcount < dataqsiz) fail("a sender waits beside a free slot");
  if (word(c + HCHAN_AT.closed) !== 0 && receivers + senders > 0)
    fail("a goroutine waits in a closed channel");
}

/** Checks a queue of channel c, and counts its sudogs whose wait has not ended. */
function waiting(mem: LinearMemory, q: number, c: Addr): number {
  const { u32 } = mem;
  const word = (addr: number): number => u32[addr >>> 2];
  let n = 0;
  let prev = 0;
  for (let sg = word(q); sg !== 0; prev = sg, sg = word(sg + SUDOG_AT.next)) {
    const name = `threads: sudog 0x${sg.toString(16)}`;
    if (word(sg + SUDOG_AT.queued) !== 1) throw new Error(`${name} stands in no queue`);
    if (word(sg + SUDOG_AT.q) !== q) throw new Error(`${name} names another queue`);
    if (word(sg + SUDOG_AT.queue) !== c) throw new Error(`${name} names another channel`);
    if (word(sg + SUDOG_AT.prev) !== prev) throw new Error(`${name} has a wrong prev`);
    if (word(word(sg + SUDOG_AT.head) + SUDOG_AT.winner) === 0) n++;
  }
  if (word(q + 4) !== prev)
    throw new Error(`threads: the last word of the queue at 0x${q.toString(16)} is wrong`);
  return n;
}

export { verifySemas } from "./sema-verify.ts";
export { type TestThreads, testThreads } from "./test-threads.ts";
// Every entry needs all of the package, which is then built as one chunk: a program has fewer files to load.
export { createThreads } from "./threads.ts";
export { type ThreadsSummary, verifyThreads } from "./verify.ts";
