/**
 * The control block: the cursors, counters, roots and threads of a memory, at CONTROL_BASE (drawn in layout.ts). The
 * thread that creates the memory fills the block. A thread that attaches finds it complete and changes nothing.
 */
import { show } from "@gort/base";
import { type Addr, isByteCount } from "./addr.ts";
import {
  CONTROL,
  CONTROL_BASE,
  CONTROL_END,
  CONTROL_LOCK,
  CONTROL_MAGIC,
  PERSISTENT_CHUNK,
} from "./layout.ts";
import { lock, unlock } from "./lock.ts";
import type { LockMemory } from "./lockrank.ts";
import type { SysStats } from "./sys-stats.ts";

/** The part of a LinearMemory that the functions on the control block use. */
export interface ControlMemory extends LockMemory {
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  readonly size: number;
  readonly stats: SysStats;
}

/** u32 indices of the cursors; `HIGH` is an f64 index. */
const VERSION = (CONTROL_BASE + CONTROL.offsets.version) >>> 2;
const CONTROL_NEXT = (CONTROL_BASE + CONTROL.offsets.controlNext) >>> 2;
const PERSISTENT_NEXT = (CONTROL_BASE + CONTROL.offsets.persistentNext) >>> 2;
const PERSISTENT_END = (CONTROL_BASE + CONTROL.offsets.persistentEnd) >>> 2;
const LOW = (CONTROL_BASE + CONTROL.offsets.low) >>> 2;
const HIGH = (CONTROL_BASE + CONTROL.offsets.high) >>> 3;

/** Whether the buffer begins with an initialised control block. The buffer reaches beyond CONTROL_BASE. */
export function hasControlBlock(buffer: ArrayBufferLike): boolean {
  return new Uint32Array(buffer, CONTROL_BASE, 1)[0] === CONTROL_MAGIC;
}

/** Fills the control block of a fresh memory. The magic word comes last. */
export function initControlBlock(mem: ControlMemory): void {
  const { u32 } = mem;
  const persistentEnd = CONTROL_END + Math.ceil(mem.size / 64 / PERSISTENT_CHUNK) * PERSISTENT_CHUNK;
  u32[VERSION] = 1;
  u32[CONTROL_NEXT] = CONTROL_BASE + Math.ceil(CONTROL.size / 64) * 64;
  u32[PERSISTENT_NEXT] = CONTROL_END;
  u32[PERSISTENT_END] = persistentEnd;
  u32[LOW] = persistentEnd;
  mem.f64[HIGH] = mem.size;
  mem.stats.add("otherSys", CONTROL_END);
  u32[CONTROL_BASE >>> 2] = CONTROL_MAGIC;
}

/** See LinearMemory.reserveControl. */
export function reserveControl(mem: ControlMemory, size: number): Addr {
  if (!isByteCount(size)) {
    throw new RangeError(`memory: reserveControl needs a whole number of bytes (got ${show(size)})`);
  }
  lock(mem, CONTROL_LOCK);
  const addr = mem.u32[CONTROL_NEXT];
  const next = addr + ((size + 7) & ~7);
  if (next > CONTROL_END) {
    unlock(mem, CONTROL_LOCK);
    throw new RangeError(`memory: control block is full (${next - CONTROL_END} bytes over)`);
  }
  mem.u32[CONTROL_NEXT] = next;
  unlock(mem, CONTROL_LOCK);
  return addr as Addr;
}
