/**
 * The types that objects with pointers are allocated with: what the collector needs to know of them, in the linear
 * memory (GCTYPE in layout.ts). Equal types of one thread share an address; they are never freed.
 */
import type { LinearMemory } from "@gort/memory";
import { outOfMemory, show } from "./errors.ts";
import { GCTYPE, GCTYPE_AT, GCTYPE_NOSCAN, MIN_SIZE_FOR_HEADER, SLOT_WORDS } from "./layout.ts";
import { sizeClassOf } from "./sizeclass.ts";

const TYPE_SIZE = GCTYPE_AT.size >>> 2;
const TYPE_PTRDATA = GCTYPE_AT.ptrdata >>> 2;
const TYPE_MASK0 = GCTYPE_AT.mask0 >>> 2;
const TYPE_MASK_ADDR = GCTYPE_AT.maskAddr >>> 2;
const TYPE_SLOT_WORD = GCTYPE_AT.slotWord >>> 2;
const TYPE_FLAGS = GCTYPE_AT.flags >>> 2;

export class TypeTable {
  readonly #mem: LinearMemory;
  readonly #known = new Map<string, number>();

  constructor(mem: LinearMemory) {
    this.#mem = mem;
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
    if (!Array.isArray(ptrMask) && !(ptrMask instanceof Uint32Array)) {
      throw new TypeError(`allocator: ptrMask must be an array or a Uint32Array (got ${show(ptrMask)})`);
    }
    let last = -1;
    const words: number[] = [];
    for (let k = 0; k < ptrMask.length; k++) {
      if (typeof ptrMask[k] !== "number") {
        throw new TypeError(`allocator: ptrMask must hold numbers (got ${typeof ptrMask[k]})`);
      }
      const w = (ptrMask[k] as number) >>> 0;
      words.push(w);
      if (w !== 0) last = 32 * k + 31 - Math.clz32(w);
    }
    const ptrdata = (last + 1) * 8;
    if (ptrdata > size || (ptrdata > 0 && size % 8 !== 0)) {
      throw new RangeError(
        `allocator: a type with pointers must be words that cover its mask (got size ${size}, pointers up to ${ptrdata})`,
      );
    }
    words.length = Math.ceil(ptrdata / 256);
    const key = `${size}:${words.join(",")}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
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
    this.#known.set(key, typ);
    return typ;
  }
}
