/**
 * The records of createAllocator({ checks: true }) on the blocks that its thread has allocated: where, with which
 * size, and whether a view is in use on them. They are JS objects of that thread, since they hold stack traces.
 *
 * Another thread may free a block, and its address may be handed out again. So in a shared heap each block gets a
 * special with the mcache's id and a serial number. The special goes when any thread frees the block, with or
 * without checks. An entry whose special is gone, or has another number, describes a block that is gone.
 */
import { hex, outOfMemory } from "@gort/base";
import type { Addr, Kernel } from "@gort/memory";
import { SPECIAL_AT, SPECIAL_BLOCK } from "./layout.ts";
import type { Specials } from "./specials.ts";

/** Bytes that checks fill blocks with: fresh from malloc, and freed. */
const POISON_FRESH = 0xcd;
const POISON_FREED = 0xdb;

/** Blocks in use from one call site. */
export interface LeakRecord {
  readonly site: string;
  blocks: number;
  bytes: number;
}

interface BlockInfo {
  site: string;
  size: number;
  /** withView calls that are running on the block. */
  views: number;
  /** Serial number of its special; 0 if it has none. */
  serial: number;
}

export class BlockChecks {
  readonly #kernel: Kernel;
  readonly #u32: Uint32Array;
  readonly #specials: Specials;
  readonly #id: number;
  readonly #blocks = new Map<Addr, BlockInfo>();
  #serial = 0;

  /** id: that of the mcache. */
  constructor(kernel: Kernel, u32: Uint32Array, specials: Specials, id: number) {
    this.#kernel = kernel;
    this.#u32 = u32;
    this.#specials = specials;
    this.#id = id;
  }

  /** malloc has made a block of usable bytes. */
  record(p: Addr, size: number, usable: number, zero: boolean, shared: boolean): void {
    if (!zero) this.#kernel.fill(p, POISON_FRESH, usable);
    const info = { site: callSite(), size, views: 0, serial: 0 };
    this.#blocks.set(p, info);
    if (shared) this.#tag(p, info);
  }

  /** Other threads may free blocks from here on. */
  share(): void {
    for (const [p, info] of this.#blocks) this.#tag(p, info);
  }

  #tag(p: Addr, info: BlockInfo): void {
    this.#serial = (this.#serial + 1) >>> 0 || 1;
    info.serial = this.#serial;
    if (this.#specials.add(p, SPECIAL_BLOCK, this.#serial, this.#id) <= 0) {
      outOfMemory("runtime: cannot allocate the special of a checked block");
    }
  }

  /** The record of the block at p; undefined if this thread did not allocate it. */
  #find(p: Addr): BlockInfo | undefined {
    const info = this.#blocks.get(p);
    if (info === undefined || info.serial === 0) return info;
    const special = this.#specials.find(p, SPECIAL_BLOCK);
    const field = (offset: number): number => this.#u32[(special + offset) >>> 2];
    if (special !== 0 && field(SPECIAL_AT.data) === info.serial && field(SPECIAL_AT.data2) === this.#id)
      return info;
    this.#blocks.delete(p);
    return undefined;
  }

  /** realloc has left the block where it is; calls of withView on it go on. */
  resize(p: Addr, size: number): void {
    const info = this.#find(p);
    if (info === undefined) return; // another thread's
    info.site = callSite();
    info.size = size;
  }

  /** Throws a RangeError if a view is in use on the block. */
  mustBeUnseen(p: Addr): void {
    if ((this.#find(p)?.views ?? 0) > 0) {
      throw new RangeError(`allocator: free of a block inside withView (got ${hex(p)})`);
    }
  }

  /** The block is being freed: all checks have passed. */
  forget(p: Addr, usable: number): void {
    this.#blocks.delete(p);
    this.#kernel.fill(p, POISON_FREED, usable);
  }

  /** Calls f with the bytes that were asked for; with the usable ones if another thread allocated the block. */
  withView<R>(p: Addr, usable: number, f: (bytes: number) => R): R {
    const info = this.#find(p);
    if (info === undefined) return f(usable);
    info.views++;
    try {
      return f(info.size);
    } finally {
      info.views--;
    }
  }

  report(): LeakRecord[] {
    const sites = new Map<string, LeakRecord>();
    for (const p of [...this.#blocks.keys()]) {
      const info = this.#find(p);
      if (info === undefined) continue;
      const record = sites.get(info.site) ?? { site: info.site, blocks: 0, bytes: 0 };
      record.blocks++;
      record.bytes += info.size;
      sites.set(info.site, record);
    }
    return [...sites.values()].sort((x, y) => y.bytes - x.bytes);
  }
}

/** The first frame outside of this package's classes: "function (file:line:column)". */
function callSite(): string {
  const limit = Error.stackTraceLimit;
  // Reflect.set: with frozen intrinsics the limit stays as it is.
  Reflect.set(Error, "stackTraceLimit", 12);
  const stack = new Error().stack ?? "";
  Reflect.set(Error, "stackTraceLimit", limit);
  const frames = stack.split("\n").slice(1);
  const outside = frames.find(
    (f) => !/\bat (new )?(ManualHeap|Allocator|Malloc|BlockChecks|callSite)\b/.test(f),
  );
  return (outside ?? "unknown").trim().replace(/^at /, "");
}
