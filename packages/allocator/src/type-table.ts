/**
 * The types of objects with pointers, as the collector needs them: GCTYPE records (layout.ts) in the linear memory.
 * Records are never freed. Equal types share one record, so the address of a record is the identity of the type, in
 * every thread of the memory.
 *
 *     ROOT_TYPES -> TYPE_TABLE.buckets[hash] -> GCTYPE -next-> GCTYPE -> ... -> 0
 *
 * The table is a hash table of lists that only grow, so a reader needs no lock. newType completes a record before it
 * makes the record the first of its list, with a cas. If another thread has added a record meanwhile, newType looks at
 * the new records and tries again. A thread that loses a race for an equal type uses the winner's record; its own
 * record stays unused. A thread that is killed on the way loses its record too, and the table stays whole.
 *
 * The JavaScript object of a type (`Struct` and so on of @gort/types) belongs to one thread.
 */
import { outOfMemory, show } from "@gort/base";
import type { LinearMemory } from "@gort/memory";
import { defineStruct, ROOT_TYPES, u32s } from "@gort/memory/internal";
import { GCTYPE, GCTYPE_AT, GCTYPE_NOSCAN, MIN_SIZE_FOR_HEADER, SLOT_WORDS } from "./layout.ts";
import { sizeClassOf } from "./sizeclass.ts";

const TYPE_SIZE = GCTYPE_AT.size >>> 2;
const TYPE_PTRDATA = GCTYPE_AT.ptrdata >>> 2;
const TYPE_MASK0 = GCTYPE_AT.mask0 >>> 2;
const TYPE_MASK_ADDR = GCTYPE_AT.maskAddr >>> 2;
const TYPE_SLOT_WORD = GCTYPE_AT.slotWord >>> 2;
const TYPE_FLAGS = GCTYPE_AT.flags >>> 2;
const TYPE_NEXT = GCTYPE_AT.next >>> 2;

/** Lists of the table, a power of two: a program has tens to hundreds of types. 256 bytes per memory. */
const BUCKETS = 64;

/** One per memory, found through the root ROOT_TYPES. */
const TYPE_TABLE = defineStruct("typeTable", {
  /** The first record of each list; 0: none. */
  buckets: u32s(BUCKETS),
});

export class TypeTable {
  readonly #mem: LinearMemory;
  readonly #buckets: number;

  /** Finds the table of the memory, or makes it. */
  constructor(mem: LinearMemory) {
    this.#mem = mem;
    const table = mem.makeRoot(ROOT_TYPES, () => {
      const made = mem.persistentAlloc(TYPE_TABLE.size, TYPE_TABLE.align, "otherSys");
      if (made === 0) outOfMemory(`runtime: cannot allocate the table of types of ${TYPE_TABLE.size} bytes`);
      return made;
    });
    this.#buckets = table + TYPE_TABLE.offsets.buckets;
  }

  /** Whether typ is the address of a type: its mask stands behind it. */
  has(typ: number): boolean {
    return (
      typ >>> 0 === typ &&
      typ !== 0 &&
      typ % 8 === 0 &&
      this.#mem.u32[(typ >>> 2) + TYPE_MASK_ADDR] === typ + GCTYPE.size
    );
  }

  /** See Allocator.newType; size is valid. */
  newType(size: number, ptrMask: Uint32Array | readonly number[]): number {
    const words = maskWords(ptrMask);
    const ptrdata = ptrdataOf(words);
    if (ptrdata > size || (ptrdata > 0 && size % 8 !== 0)) {
      throw new RangeError(
        "allocator: a type with pointers must be words that cover its mask " +
          `(got size ${size}, pointers up to ${ptrdata})`,
      );
    }
    words.length = Math.ceil(ptrdata / 256);
    const { kernel, u32 } = this.#mem;
    const bucket = this.#buckets + 4 * (hashOf(size, words) % BUCKETS);
    let head = kernel.load(bucket) >>> 0;
    let found = this.#find(head, 0, size, ptrdata, words);
    if (found !== 0) return found;
    const typ = this.#newRecord(size, ptrdata, words);
    for (;;) {
      u32[(typ >>> 2) + TYPE_NEXT] = head;
      const first = kernel.cas(bucket, head, typ) >>> 0;
      if (first === head) return typ;
      found = this.#find(first, head, size, ptrdata, words);
      if (found !== 0) return found;
      head = first;
    }
  }

  /** The record of the type in the list from `first` up to `end`; 0 if it is not there. */
  #find(first: number, end: number, size: number, ptrdata: number, words: readonly number[]): number {
    const { u32 } = this.#mem;
    for (let typ = first; typ !== end; typ = u32[(typ >>> 2) + TYPE_NEXT]) {
      const t = typ >>> 2;
      if (u32[t + TYPE_SIZE] !== size || u32[t + TYPE_PTRDATA] !== ptrdata) continue;
      const mask = u32[t + TYPE_MASK_ADDR] >>> 2;
      if (words.every((w, k) => u32[mask + k] === w)) return typ;
    }
    return 0;
  }

  /** A complete record that is in no list yet. The mask stands behind it. */
  #newRecord(size: number, ptrdata: number, words: readonly number[]): number {
    const nbytes = GCTYPE.size + 4 * Math.max(1, words.length);
    const typ = this.#mem.persistentAlloc(nbytes, 8, "otherSys") as number;
    if (typ === 0) outOfMemory(`runtime: cannot allocate a type of ${nbytes} bytes`);
    const { u32 } = this.#mem;
    const t = typ >>> 2;
    const small = ptrdata > 0 && size <= MIN_SIZE_FOR_HEADER;
    u32[t + TYPE_SIZE] = size;
    u32[t + TYPE_PTRDATA] = ptrdata;
    u32[t + TYPE_MASK0] = words[0] ?? 0;
    u32[t + TYPE_MASK_ADDR] = typ + GCTYPE.size;
    u32[t + TYPE_SLOT_WORD] = small ? (sizeClassOf(size) << 1) * SLOT_WORDS : 0;
    u32[t + TYPE_FLAGS] = ptrdata === 0 ? GCTYPE_NOSCAN : 0;
    words.forEach((w, k) => {
      u32[((typ + GCTYPE.size) >>> 2) + k] = w;
    });
    return typ;
  }
}

/** The mask as unsigned words. */
function maskWords(ptrMask: Uint32Array | readonly number[]): number[] {
  if (!Array.isArray(ptrMask) && !(ptrMask instanceof Uint32Array)) {
    throw new TypeError(`allocator: ptrMask must be an array or a Uint32Array (got ${show(ptrMask)})`);
  }
  const words: number[] = [];
  for (let k = 0; k < ptrMask.length; k++) {
    if (typeof ptrMask[k] !== "number") {
      throw new TypeError(`allocator: ptrMask must hold numbers (got ${typeof ptrMask[k]})`);
    }
    words.push((ptrMask[k] as number) >>> 0);
  }
  return words;
}

/** Bytes up to and including the last pointer of the mask; 0 without pointers. */
function ptrdataOf(words: readonly number[]): number {
  for (let k = words.length - 1; k >= 0; k--) {
    if (words[k] !== 0) return (32 * k + 32 - Math.clz32(words[k])) * 8;
  }
  return 0;
}

/** A hash of the arguments of newType, unsigned; the golden ratio's multiplier mixes the words. */
function hashOf(size: number, words: readonly number[]): number {
  let h = size;
  for (const w of words) h = Math.imul(h ^ w ^ (h >>> 15), 0x9e3779b1);
  return (h ^ (h >>> 15)) >>> 0;
}
