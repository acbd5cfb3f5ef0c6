/**
 * Descriptions of types in the linear memory, for values that cross threads (type-identity.ts). The address of a record
 * is the number of the type in every thread of the memory. Records are never freed.
 *
 *     ROOT_TYPE_RECORDS -> TABLE.buckets[hash] -> RECORD -next-> RECORD -> ... -> 0
 *
 *     RECORD     0  next    4  self: its own address    8  hash    12  length    16  text: `length` bytes of UTF-8
 *
 * The table is a hash table of lists that only grow, so a reader needs no lock. A thread completes a record before it
 * makes the record the first of its list, with a cas. If another thread has changed the list meanwhile, it looks at the
 * new records and tries again. A thread that loses a race for an equal text uses the winner's record.
 */
import { outOfMemory, show } from "@gort/base";
import type { LinearMemory } from "@gort/memory";
import { defineStruct, ROOT_TYPE_RECORDS, u32s } from "@gort/memory/internal";
import { encodeString, readString, scratchBytes, writeBytes } from "./bytes.ts";
import type { Type } from "./type.ts";
import { internType, typeFromDescription } from "./type-identity.ts";

/** Lists of the table, a power of two: a program sends values of tens of types. 256 bytes per memory. */
const BUCKETS = 64;

const TABLE = defineStruct("typeRecords", {
  /** The first record of each list; 0: none. */
  buckets: u32s(BUCKETS),
});

const RECORD = defineStruct("typeRecord", {
  next: "u32",
  /** The address of the record: tells a record from other memory. */
  self: "u32",
  hash: "u32",
  /** Bytes of the text behind the record. */
  length: "u32",
});
const NEXT = RECORD.offsets.next >>> 2;
const SELF = RECORD.offsets.self >>> 2;
const HASH = RECORD.offsets.hash >>> 2;
const LENGTH = RECORD.offsets.length >>> 2;

/** The types of one memory by number, as one thread sees them. */
export class TypeRecords {
  readonly #mem: LinearMemory;
  readonly #buckets: number;
  readonly #ids = new Map<Type, number>();
  readonly #types = new Map<number, Type>();

  /** Finds the table of the memory, or makes it. */
  constructor(mem: LinearMemory) {
    this.#mem = mem;
    this.#buckets = mem.makeRoot(ROOT_TYPE_RECORDS, () => newTable(mem)) + TABLE.offsets.buckets;
  }

  /** The number of a type; the same for identical types on all threads. It may call code of the type's declaration. */
  idOf(type: Type): number {
    let id = this.#ids.get(type);
    if (id === undefined) {
      id = this.#record(internType(type));
      this.#ids.set(type, id);
    }
    return id;
  }

  /**
   * This thread's type of a number. It may call code of a type's declaration.
   *
   * @throws TypeError if no thread has made the number
   */
  typeOf(id: number): Type {
    let type = this.#types.get(id);
    if (type === undefined) {
      type = typeFromDescription(this.textOf(id));
      this.#types.set(id, type);
    }
    return type;
  }

  /** The description behind a number. */
  textOf(id: number): string {
    const { u32, size } = this.#mem;
    const at = id >>> 2;
    if (id >>> 0 !== id || id === 0 || id % 4 !== 0 || id + RECORD.size > size || u32[at + SELF] !== id)
      throw new TypeError(`types: not the number of a type (got ${show(id)})`);
    return readString(this.#mem, id + RECORD.size, u32[at + LENGTH]);
  }

  #record(text: string): number {
    const { kernel, u32 } = this.#mem;
    const hash = hashOf(text);
    const bucket = this.#buckets + 4 * (hash % BUCKETS);
    let head = kernel.load(bucket) >>> 0;
    let found = this.#find(head, 0, hash, text);
    if (found !== 0) return found;
    const record = this.#newRecord(hash, text);
    for (;;) {
      u32[(record >>> 2) + NEXT] = head;
      const first = kernel.cas(bucket, head, record) >>> 0;
      if (first === head) return record;
      found = this.#find(first, head, hash, text);
      if (found !== 0) return found;
      head = first;
    }
  }

  /** The record of the text in the list from `first` up to `end`; 0 if it is not there. */
  #find(first: number, end: number, hash: number, text: string): number {
    const { u32 } = this.#mem;
    for (let r = first; r !== end; r = u32[(r >>> 2) + NEXT]) {
      if (u32[(r >>> 2) + HASH] === hash && this.textOf(r) === text) return r;
    }
    return 0;
  }

  /** A complete record that is in no list yet. */
  #newRecord(hash: number, text: string): number {
    const length = encodeString(text);
    const nbytes = RECORD.size + length;
    const record = this.#mem.persistentAlloc(nbytes, 8, "otherSys") as number;
    if (record === 0) outOfMemory(`runtime: cannot allocate the description of a type of ${nbytes} bytes`);
    writeBytes(this.#mem, record + RECORD.size, scratchBytes(), length);
    const { u32 } = this.#mem;
    u32[(record >>> 2) + SELF] = record;
    u32[(record >>> 2) + HASH] = hash;
    u32[(record >>> 2) + LENGTH] = length;
    return record;
  }
}

/** A new table. */
function newTable(mem: LinearMemory): number {
  const table = mem.persistentAlloc(TABLE.size, TABLE.align, "otherSys") as number;
  if (table === 0) outOfMemory(`runtime: cannot allocate the table of types of ${TABLE.size} bytes`);
  return table;
}

/** A hash of the text, unsigned: FNV-1a. */
function hashOf(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
