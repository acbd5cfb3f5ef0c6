/**
 * Go's persistentalloc (malloc.go): zeroed metadata that is never freed.
 *
 * It carves chunks of 256 KiB, so that a small struct does not cost a page. A chunk counts under otherSys as a whole.
 * Each piece moves its bytes from otherSys to its purpose; the unused rest of a chunk stays under otherSys, as in Go.
 * Chunks come from the persistent region, and from the high end of the memory once that region is full.
 */
import { type Addr, isByteCount } from "./addr.ts";
import type { ControlMemory } from "./control-block.ts";
import { CONTROL, CONTROL_BASE, CONTROL_LOCK, PERSISTENT_CHUNK, type SysStatName } from "./layout.ts";
import { lock, unlock } from "./lock.ts";
import { reserveLocked } from "./mem.ts";

const CHUNK_NEXT = (CONTROL_BASE + CONTROL.offsets.chunkNext) >>> 2;
const CHUNK_END = (CONTROL_BASE + CONTROL.offsets.chunkEnd) >>> 2;
const PERSISTENT_NEXT = (CONTROL_BASE + CONTROL.offsets.persistentNext) >>> 2;
const PERSISTENT_END = (CONTROL_BASE + CONTROL.offsets.persistentEnd) >>> 2;

/** Chunks begin at multiples of this many bytes at least: a page of most systems. */
const CHUNK_ALIGN = 4096;

/** See LinearMemory.persistentAlloc. */
export function persistentAlloc(mem: ControlMemory, size: number, align: number, stat: SysStatName): Addr {
  if (!isByteCount(size) || size === 0 || !isByteCount(align) || (align & (align - 1)) !== 0) {
    throw new RangeError(
      `memory: persistentAlloc needs a size and a power of two (got ${String(size)}, ${String(align)})`,
    );
  }
  lock(mem, CONTROL_LOCK);
  const addr = carve(mem, size, align);
  if (addr !== 0 && stat !== "otherSys") {
    mem.stats.add("otherSys", -size);
    mem.stats.add(stat, size);
  }
  unlock(mem, CONTROL_LOCK);
  return addr as Addr;
}

/** A piece of the current chunk, or of a new one; 0 if the memory is exhausted. The caller holds CONTROL_LOCK. */
function carve(mem: ControlMemory, size: number, align: number): number {
  const { u32 } = mem;
  const next = u32[CHUNK_NEXT];
  const addr = next + ((align - (next % align)) % align);
  if (next !== 0 && addr + size <= u32[CHUNK_END]) {
    u32[CHUNK_NEXT] = addr + size;
    return addr;
  }
  const chunk = Math.ceil(size / PERSISTENT_CHUNK) * PERSISTENT_CHUNK;
  const base = newChunk(mem, chunk, Math.max(align, CHUNK_ALIGN));
  if (base === 0) return 0;
  mem.stats.add("otherSys", chunk);
  // A chunk for one large piece must not replace a current chunk that has more room left.
  if (chunk - size >= u32[CHUNK_END] - next) {
    u32[CHUNK_NEXT] = base + size;
    u32[CHUNK_END] = base + chunk;
  }
  return base;
}

/** n bytes of the persistent region, or of the high end; 0 if neither has room. The caller holds CONTROL_LOCK. */
function newChunk(mem: ControlMemory, n: number, align: number): number {
  const { u32 } = mem;
  const next = u32[PERSISTENT_NEXT];
  const addr = next + ((align - (next % align)) % align);
  if (addr + n <= u32[PERSISTENT_END]) {
    u32[PERSISTENT_NEXT] = addr + n;
    return addr;
  }
  return reserveLocked(mem, n, align, "high");
}
