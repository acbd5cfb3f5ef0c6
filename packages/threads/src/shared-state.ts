/** One thread's access to the shared block: the views, the addresses, and its own record. */
import type { LinearMemory } from "@gort/memory";
import type { ThreadHost } from "./host.ts";
import { MREC_AT, SCHED_AT } from "./layout.ts";

export class SharedState {
  readonly mem: LinearMemory;
  readonly kernel: LinearMemory["kernel"];
  readonly u32: Uint32Array;
  readonly host: ThreadHost;
  /** Address of SCHED. */
  readonly sched: number;
  /** Index of this thread's M, and the address of its record. */
  readonly m: number;
  readonly rec: number;

  constructor(mem: LinearMemory, sched: number, m: number, host: ThreadHost) {
    this.mem = mem;
    this.kernel = mem.kernel;
    this.u32 = mem.u32;
    this.host = host;
    this.sched = sched;
    this.m = m;
    this.rec = this.mrec(m);
  }

  /** Address of the record of M m; 0: the index was never in use. */
  mrec(m: number): number {
    return this.u32[(this.sched + SCHED_AT.ms + 4 * m) >>> 2];
  }

  /** Address of P p; 0: gomaxprocs was never above p. */
  prec(p: number): number {
    return this.u32[(this.sched + SCHED_AT.ps + 4 * p) >>> 2];
  }

  /** Address of the P that this thread holds; 0: none. */
  get p(): number {
    return this.u32[(this.rec + MREC_AT.p) >>> 2];
  }

  get nms(): number {
    return this.u32[(this.sched + SCHED_AT.nms) >>> 2];
  }

  get gomaxprocs(): number {
    return this.u32[(this.sched + SCHED_AT.gomaxprocs) >>> 2];
  }

  /** Wakes whatever waits for the word at addr. */
  notify(addr: number): void {
    this.host.notify(this.mem.i32, addr >>> 2);
  }

  /** Waits while the word at addr holds `value`, at most `ms` milliseconds. It spins where it may not block. */
  wait(addr: number, value: number, ms: number): void {
    if (this.host.wait(this.mem.i32, addr >>> 2, value, ms)) return;
    const end = this.host.now() + ms;
    while (this.kernel.load(addr) === value && this.host.now() < end);
  }
}
