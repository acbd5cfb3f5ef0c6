/**
 * Calls from the allocator to the packages above it. Allocation triggers collection and collection frees memory: the
 * hooks break this cycle. The collector, the profiler and the facade assign the fields. The defaults do nothing, so
 * that the allocator works alone. Hooks are called on slow paths only, never inside a lock.
 *
 * ## What a hook may do
 * An operation reads and checks first, then changes memory, and reports after. So there are three kinds of hooks:
 *
 *     sweeping    deductSweepCredit, sweepSpan, sweepOne, reclaim
 *                 run in the middle of an operation that is about to take a span. They sweep spans that are on a list,
 *                 or the span that they are given. They may not allocate, free, flush or release memory, nor read
 *                 statistics with a flush. To tell the program something, they call deferReport(), and operationDone
 *                 follows.
 *     object      sampleMalloc, onFree
 *                 run between two states of an object. Either it is complete, but the caller has no address yet. Or
 *                 the program has freed it, but its slot is not free yet. They may read the object, and find, attach
 *                 and detach specials.
 *     reporting   gcTrigger, operationDone, outOfMemory, explainOutOfMemory, releaseRefused
 *                 run when no operation is in progress. They may allocate, free, flush and read statistics. A
 *                 collection in gcTrigger must treat the address that it got as a root. operationDone gets no address,
 *                 so it must not collect.
 *
 * The rule is enforced. While a thread is in an operation or in an object hook, operation.busy names it. Then every
 * entry that changes an mcache or the heap (but for the steps of a sweep) throws the fatal error "allocator: re-entered
 * by a hook" before it changes anything. The same holds for any other code that runs inside of an operation, such as a
 * clock or a stack trace. The fast paths do not check: they take a free slot of a run, or put a block on its list, and
 * no operation works on these.
 *
 * An error of a sweeping hook ends the allocation before it has changed its run. An error of another hook reaches the
 * caller of the operation, which is complete: the caller of an allocation loses the address of the object.
 */
import { hex } from "@gort/base";
import type { Addr } from "@gort/memory";

export interface AllocatorHooks {
  /**
   * heapLive reached GCCONTROL.trigger. Called at the very end of an allocation, with the new object complete:
   * a collector that collects at once (rather than at the next safepoint) must treat addr as a root. Reporting.
   */
  gcTrigger(addr: Addr): void;
  /** The memory profile samples this object (one in about MemProfileRate bytes). Object. */
  sampleMalloc(addr: Addr, size: number): void;
  /**
   * mcentral wants this unswept span. It has taken the span off its list and set sweepgen to sg-1. The hook must
   * sweep it and end with spanSwept(span, nfreed, true). Sweeping.
   */
  sweepSpan(span: Addr): void;
  /** Sweeps one unswept span, taken with nextSpanForSweep; returns its pages, or -1 if there was none. Sweeping. */
  sweepOne(): number;
  /** Before a span of spanBytes is taken: sweep as much as the pacer says (Go's deductSweepCredit). Sweeping. */
  deductSweepCredit(spanBytes: number, callerSweepPages: number): void;
  /**
   * Before npages are taken from the heap: sweep until that many were freed, or all is swept (Go's reclaim). Sweeping.
   */
  reclaim(npages: number): void;
  /**
   * A sweeping hook has called deferReport() in the operation that has ended. After an allocation the object is
   * complete, and only the caller has its address: a collection would free it. Reporting.
   */
  operationDone(): void;
  /**
   * No memory is left for needBytes. True: something was freed, try again (once; a few times if threads share the heap,
   * since another thread may be faster). False: fatal error. No operation is in progress meanwhile, so the hook may
   * collect, and free blocks. It is not called for its own allocations. Reporting.
   */
  outOfMemory(needBytes: number): boolean;
  /** Text for the detail of a fatal error out of memory, after the allocator's figures; "" for none. Reporting. */
  explainOutOfMemory(): string;
  /**
   * The operating system refused to take pages back, for the first time in this heap. The pages stay counted as
   * idle, not as released, and further refusals are not reported. Reporting.
   */
  releaseRefused(addr: Addr, nbytes: number): void;
  /**
   * Debugging: free() frees an object, which still has its specials. The collector's frees are not reported one by
   * one. The block is freed even if the hook throws. Object.
   */
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
    operationDone() {},
    outOfMemory: () => false,
    explainOutOfMemory: () => "",
    releaseRefused(addr, nbytes) {
      console.warn(
        `allocator: the operating system refused to take back ${nbytes} bytes at ${hex(addr)}; they stay in use`,
      );
    },
    onFree() {},
  };
}
