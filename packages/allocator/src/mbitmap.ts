/**
 * heapBits: a bit for each word of heap that is 1 if the word is a pointer slot. layout.ts says where it lies and for
 * which spans it is valid.
 *
 * The bits of a whole run are written when an mcache acquires it, for the type that asks for the run. So the next
 * object of the same type needs no bits of its own. An object of another type replaces the bits of its slot.
 *
 * Sources: Go's mbitmap.go (heapSetTypeNoHeader). Unlike Go, whose bits stand at the end of each span.
 */
import { clearBits, fillPattern } from "./bits.ts";
import { GCTYPE_AT } from "./layout.ts";

const TYPE_MASK0 = GCTYPE_AT.mask0 >>> 2;
const TYPE_MASK_ADDR = GCTYPE_AT.maskAddr >>> 2;
const TYPE_PTRDATA = GCTYPE_AT.ptrdata >>> 2;
const TYPE_SIZE = GCTYPE_AT.size >>> 2;

export class HeapBits {
  private readonly u32: Uint32Array;
  /** Word index of the table. */
  private readonly table: number;
  /**
   * The word of bits that objects of the type `patternTyp` fill in slots of `patternSize` bytes. It saves computing
   * the same word for the next run, so each thread keeps its own.
   */
  private patternTyp = 0;
  private patternSize = 0;
  private pattern = 0;

  constructor(u32: Uint32Array, heapBitsBase: number) {
    this.u32 = u32;
    this.table = heapBitsBase >>> 2;
  }

  /** The bits of a run: one object of the type in each slot of elemsize bytes. */
  fillRun(addr: number, bytes: number, elemsize: number, typ: number): void {
    const { u32, table } = this;
    const first = addr >>> 3;
    if ((typ | 0) === this.patternTyp && elemsize === this.patternSize) {
      fillPattern(u32, table, first, bytes >>> 3, this.pattern);
      return;
    }
    const words = elemsize >>> 3;
    if (32 % words === 0) {
      // The pattern repeats within a word: built once, and whole words written between the edges.
      let pattern = u32[(typ >>> 2) + TYPE_MASK0];
      for (let w = words; w < 32; w *= 2) pattern |= pattern << w;
      this.patternTyp = typ | 0;
      this.patternSize = elemsize;
      this.pattern = pattern | 0;
      fillPattern(u32, table, first, bytes >>> 3, pattern);
      return;
    }
    clearBits(u32, table, first, bytes >>> 3);
    for (let a = addr, end = addr + bytes; a < end; a += elemsize) orMask(u32, table, a, typ);
  }

  /** No word of the run is a pointer. */
  clear(addr: number, bytes: number): void {
    clearBits(this.u32, this.table, addr >>> 3, bytes >>> 3);
  }

  /** Replaces the bits of the slot at p by those of `size` bytes of the type, repeated. */
  setObject(p: number, elemsize: number, typ: number, size: number): void {
    const { u32, table } = this;
    clearBits(u32, table, p >>> 3, elemsize >>> 3);
    const typeSize = u32[(typ >>> 2) + TYPE_SIZE];
    for (let a = p, end = p + size; a < end; a += typeSize) orMask(u32, table, a, typ);
  }
}

/** ORs the pointer mask of one object of the type at address a into the table. */
function orMask(u32: Uint32Array, table: number, a: number, typ: number): void {
  const mask = u32[(typ >>> 2) + TYPE_MASK_ADDR] >>> 2;
  const nwords = (u32[(typ >>> 2) + TYPE_PTRDATA] + 255) >>> 8;
  const shift = (a >>> 3) & 31;
  const w = table + (a >>> 8);
  for (let k = 0; k < nwords; k++) {
    const m = u32[mask + k];
    u32[w + k] = u32[w + k] | (m << shift);
    const rest = shift === 0 ? 0 : m >>> (32 - shift);
    if (rest !== 0) u32[w + k + 1] = u32[w + k + 1] | rest;
  }
}
