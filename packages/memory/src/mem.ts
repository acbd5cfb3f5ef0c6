/**
 * The states of a range of the memory, after Go's mem.go:
 *
 *     None     -sysReserve->  Reserved   owned, never touched
 *     Reserved -sysMap->      Prepared   counted in a SysStat; still without physical pages
 *     Prepared -sysUsed->     Ready      may be read and written; reads zero on first touch
 *     Ready    -sysUnused->   Prepared   physical pages returned (madvise), contents lost
 *     any      -sysFault->    Reserved   returned; must be mapped again before the next touch
 *     any      -sysFree->     None       not counted; the addresses are not reused
 *
 * Unlike Go: the host commits and protects nothing for us. Prepared and Ready differ only in the accounting, and a
 * touch of a Reserved range does not fault. The contents and the counters are as the table says in each state.
 *
 * The functions do the work of the LinearMemory methods of the same names; the public contracts stand there.
 */
import { type Addr, isByteCount } from "./addr.ts";
import type { ControlMemory } from "./control-block.ts";
import { CONTROL, CONTROL_BASE, CONTROL_LOCK, type SysStatName } from "./layout.ts";
import { lock, unlock } from "./lock.ts";
import { findReleaser, osPageSize } from "./release.ts";

/** The part of a LinearMemory that returns physical pages. */
interface ReleasableMemory extends ControlMemory {
  readonly buffer: ArrayBufferLike;
  readonly canRelease: boolean;
}

/** The cursors of sysReserve: a u32 index and an f64 index. */
const LOW = (CONTROL_BASE + CONTROL.offsets.low) >>> 2;
const HIGH = (CONTROL_BASE + CONTROL.offsets.high) >>> 3;

export function sysReserve(mem: ControlMemory, n: number, align: number, from: "low" | "high"): Addr {
  if (!isByteCount(n) || !isByteCount(align) || align === 0) {
    throw new RangeError(
      `memory: sysReserve needs a whole number of bytes and an alignment (got ${String(n)}, ${String(align)})`,
    );
  }
  lock(mem, CONTROL_LOCK);
  const addr = reserveLocked(mem, n, align, from);
  unlock(mem, CONTROL_LOCK);
  return addr as Addr;
}

/** sysReserve for a caller that holds CONTROL_LOCK. Returns 0 if the two cursors would meet. */
export function reserveLocked(mem: ControlMemory, n: number, align: number, from: "low" | "high"): number {
  const size = n + ((8 - (n % 8)) % 8);
  const low = mem.u32[LOW];
  const high = mem.f64[HIGH];
  if (from === "low") {
    const addr = low + ((align - (low % align)) % align);
    if (addr + size > high) return 0;
    mem.u32[LOW] = addr + size;
    // A cursor of exactly 2^32 does not fit its word. Both cursors stop 8 bytes below, so that nothing is left between.
    if (addr + size > 0xffffffff) mem.u32[LOW] = mem.f64[HIGH] = 0xfffffff8;
    return addr;
  }
  const top = high - size;
  const addr = top - (top % align);
  if (addr < low) return 0;
  mem.f64[HIGH] = addr;
  return addr;
}

/** Bytes between the two cursors. */
export function unreserved(mem: ControlMemory): number {
  return mem.f64[HIGH] - mem.u32[LOW];
}

export function sysMap(mem: ControlMemory, addr: number, n: number, stat: SysStatName): void {
  checkRange(mem, addr, n);
  mem.stats.add(stat, n);
}

export function sysUnused(mem: ReleasableMemory, addr: number, n: number): boolean {
  checkRange(mem, addr, n);
  if (n === 0 || !mem.canRelease) return false;
  const page = osPageSize();
  if (addr % page !== 0 || n % page !== 0) {
    throw new RangeError(`memory: sysUnused range must be multiples of ${page} (got ${addr}, ${n})`);
  }
  return findReleaser()?.release(mem.buffer, addr, n) ?? false;
}

export function sysFree(mem: ReleasableMemory, addr: number, n: number, stat: SysStatName): void {
  checkRange(mem, addr, n);
  mem.stats.add(stat, -n);
  const page = osPageSize();
  const lo = Math.ceil(addr / page) * page;
  const hi = Math.floor((addr + n) / page) * page;
  if (hi > lo) sysUnused(mem, lo, hi - lo);
}

/** Throws a RangeError unless [addr, addr + n) lies inside the memory. */
export function checkRange(mem: ControlMemory, addr: number, n: number): void {
  if (!(isByteCount(addr) && isByteCount(n) && addr + n <= mem.size)) {
    const got = `(got ${String(addr)}, ${String(n)})`;
    throw new RangeError(
      `memory: a range needs an address and bytes inside the memory of ${mem.size} bytes ${got}`,
    );
  }
}
