/**
 * Where the allocator calls up. Allocation triggers collection and collection frees memory: the cycle is
 * cut here. The collector, the profiler and the facade assign the fields; the defaults do nothing, so that
 * the allocator works alone. Hooks are called on slow paths only, never inside a lock.
 */
import type { Addr } from "@gort/memory";

export interface AllocatorHooks {
  /**
   * heapLive reached GCCONTROL.trigger. Called at the very end of an allocation, with the new object complete:
   * a collector that collects at once (rather than at the next safepoint) must treat addr as a root.
   */
  gcTrigger(addr: Addr): void;
  /** The object is one that the memory profile samples (one in about MemProfileRate bytes). */
  sampleMalloc(addr: Addr, size: number): void;
  /**
   * mcentral wants this unswept span, has taken it off its list and set sweepgen to sg-1. Must sweep it and end
   * with spanSwept(span, nfreed, true).
   */
  sweepSpan(span: Addr): void;
  /** Sweeps one unswept span, taken with nextSpanForSweep; returns its pages, or -1 if there was none. */
  sweepOne(): number;
  /** Before a span of spanBytes is taken: sweep as much as the pacer says (Go's deductSweepCredit). */
  deductSweepCredit(spanBytes: number, callerSweepPages: number): void;
  /** Before npages are taken from the heap: sweep until that many were freed, or all is swept (Go's reclaim). */
  reclaim(npages: number): void;
  /** No memory left for needBytes. True: something was freed, try again (once). False: fatal error. */
  outOfMemory(needBytes: number): boolean;
  /**
   * The operating system refused to take pages back, for the first time in this heap. They stay counted as idle, not as
   * released, and further refusals are not reported.
   */
  releaseRefused(addr: Addr, nbytes: number): void;
  /** Debugging: an object was freed by free(). The collector's frees are not reported one by one. */
  onFree(addr: Addr, size: number): void;
}

export function defaultHooks(): AllocatorHooks {
  return {
    gcTrigger() {},
    sampleMalloc() {},
    sweepSpan() {
      throw new Error("allocator: an unswept span, but no collector that sweeps it");
    },
    sweepOne: () => -1,
    deductSweepCredit() {},
    reclaim() {},
    outOfMemory: () => false,
    releaseRefused(addr, nbytes) {
      console.warn(
        `allocator: the operating system refused to take back ${nbytes} bytes at 0x${addr.toString(16)}; they stay in use`,
      );
    },
    onFree() {},
  };
}
