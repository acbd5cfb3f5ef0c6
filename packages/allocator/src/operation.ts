/**
 * The operation that this thread is in, and the reports that follow it. hooks.ts has the rules.
 *
 * An operation reads and checks, then changes memory, then reports. Reports come up on the way: growth, memory beyond
 * the limit, a refused release, a sweep with news. They are noted here, and `report` passes them on.
 *
 * All of this belongs to one thread and to one call into the allocator: hooks are JS functions, which no other thread
 * can call. So, unlike the rest of the state of a heap, it is not in the linear memory.
 */
import { throwFatal } from "@gort/base";
import type { Addr } from "@gort/memory";
import type { AllocatorHooks } from "./hooks.ts";
import { PAGE_SIZE } from "./layout.ts";

export class Operation {
  /**
   * Names the operation of this thread that is changing its mcache or the heap; "" while there is none. A hook that is
   * called in an operation must not begin another.
   */
  busy = "";
  /** Whether `report` has anything to do. */
  pending = false;
  private readonly hooks: AllocatorHooks;
  private grownBytes = 0;
  private overLimit = false;
  private refusedPage = 0;
  private refusedBytes = 0;
  private deferred = false;
  private rescuing = false;

  constructor(hooks: AllocatorHooks) {
    this.hooks = hooks;
  }

  /** Begins an operation. The caller calls `end` in a finally. */
  begin(name: string): void {
    if (this.busy !== "") this.refuse(name);
    this.busy = name;
  }

  end(): void {
    this.busy = "";
  }

  /** Throws the fatal error if this thread is in the middle of an operation. `call` names the call that is refused. */
  mustBeIdle(call: string): void {
    if (this.busy !== "") this.refuse(call);
  }

  private refuse(call: string): never {
    throwFatal(
      "allocator: re-entered by a hook",
      `allocator: ${call} called by a hook in the middle of ${this.busy}`,
    );
  }

  // --- notes for the report

  /** hooks.operationDone is to be called. */
  defer(): void {
    this.deferred = true;
    this.pending = true;
  }

  /** The heap has grown by so many bytes. */
  noteGrowth(bytes: number): void {
    this.grownBytes += bytes;
    this.pending = true;
  }

  /** More is mapped than the memory limit allows, and enough is free to change that. */
  noteOverLimit(): void {
    this.overLimit = true;
    this.pending = true;
  }

  /** The operating system refused to take pages back. */
  noteRefusal(page: number, bytes: number): void {
    this.refusedPage = page;
    this.refusedBytes = bytes;
    this.pending = true;
  }

  /** Releases memory: the heap has grown by so many bytes, or exceeds the memory limit. Set by the scavenger. */
  giveBack: (grown: number, overLimit: boolean) => void = () => {};

  /** Reports what happened in the operation that has ended. The caller's object, if any, is complete. */
  report(): void {
    this.pending = false;
    const { grownBytes, overLimit } = this;
    this.grownBytes = 0;
    this.overLimit = false;
    if (grownBytes > 0 || overLimit) this.giveBack(grownBytes, overLimit);
    if (this.refusedBytes !== 0) {
      const bytes = this.refusedBytes;
      this.refusedBytes = 0;
      this.hooks.releaseRefused((this.refusedPage * PAGE_SIZE) as Addr, bytes);
    }
    if (this.deferred) {
      this.deferred = false;
      this.hooks.operationDone();
    }
    // giveBack may have noted a refusal, which is reported above.
    this.pending = this.refusedBytes !== 0 || this.deferred;
  }

  /**
   * Asks the hook for memory, with no operation in progress: the hook may collect or free. The hook's own allocations
   * are not rescued. True: try again.
   */
  rescue(npages: number): boolean {
    if (this.rescuing) return false;
    this.rescuing = true;
    try {
      return this.hooks.outOfMemory(npages * PAGE_SIZE);
    } finally {
      this.rescuing = false;
    }
  }
}
