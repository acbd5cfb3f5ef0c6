/**
 * The tables of a pprof file as offsets in it: a few bytes for each entry instead of an object.
 */
import type { Reader } from "./reader.ts";
import { ENTRY_ID } from "./schema.ts";

/**
 * Slots of a hash table for each entry. More slots make probes shorter, and cost 8 bytes each, or 12 for ids above 32
 * bits.
 */
const SLOTS_PER_ENTRY = 1.25;
/** The first id that needs more than 32 bits. */
const BIG_ID = 2 ** 32;
/** Multipliers of the hash: the golden ratio, and MurmurHash3's first finalizer constant. */
const HASH_1 = 0x9e3779b1;
const HASH_2 = 0x85ebca6b;

/**
 * Where the entries with ids begin. Nearly all writers number entries 1, 2, 3 ... in the order of the file: such an
 * id is its own index, at 4 bytes an entry. Other ids are hashed, at 10 bytes an entry, or 15 for ids above 32 bits.
 * Entries with such ids are longer themselves.
 *
 * Use it in three steps: `count` every entry, `add` every entry, then `find`.
 */
export class IdTable {
  private counted = 0;
  private countedBig = 0;
  private dense = true;
  private added = 0;
  private offsets: Uint32Array | undefined;
  private small: HashTable | undefined;
  private big: HashTable | undefined;

  constructor(private readonly what: string) {}

  /** Counts the entry that is the present field of `r`. */
  count(r: Reader): void {
    const id = idOf(r);
    if (id === 0) r.fail(`a ${this.what} without an id`);
    if (id !== ++this.counted) this.dense = false;
    if (id >= BIG_ID) this.countedBig++;
  }

  /** Adds the entry that is the present field of `r`. Fails if an entry with its id exists. */
  add(r: Reader): void {
    const id = idOf(r);
    if (this.dense) {
      this.offsets ??= new Uint32Array(this.counted);
      this.offsets[this.added++] = r.start;
      return;
    }
    this.added++;
    if (!this.tableOf(id).add(id, r.start)) r.fail(`there are two of ${this.what} ${id}`);
  }

  /** Where the entry with this id begins. If there is none, `r` fails, whose present field refers to the id. */
  find(r: Reader, id: number): number {
    if (this.dense) {
      if (id >= 1 && id <= this.added) return this.offsets![id - 1];
    } else if (id > 0) {
      const offset = this.tableOf(id).find(id);
      if (offset >= 0) return offset;
    }
    return r.fail(`${this.what} ${id} doesn't exist`);
  }

  private tableOf(id: number): HashTable {
    if (id < BIG_ID) {
      this.small ??= new HashTable(this.counted - this.countedBig, Uint32Array);
      return this.small;
    }
    this.big ??= new HashTable(this.countedBig, Float64Array);
    return this.big;
  }
}

/** Ids to offsets, with open addressing. An id is never 0. */
class HashTable {
  private readonly ids: Uint32Array | Float64Array;
  private readonly offsets: Uint32Array;

  constructor(entries: number, Ids: Uint32ArrayConstructor | Float64ArrayConstructor) {
    const slots = Math.ceil(entries * SLOTS_PER_ENTRY) + 1;
    this.ids = new Ids(slots);
    this.offsets = new Uint32Array(slots);
  }

  /** Returns false if the id is there already. */
  add(id: number, offset: number): boolean {
    const slot = this.slotOf(id);
    if (this.ids[slot] === id) return false;
    this.ids[slot] = id;
    this.offsets[slot] = offset;
    return true;
  }

  /** The offset of the id, or -1 if the id is not there. */
  find(id: number): number {
    const slot = this.slotOf(id);
    return this.ids[slot] === id ? this.offsets[slot] : -1;
  }

  /** The slot of the id, or the free slot in which it belongs. There is always a free slot. */
  private slotOf(id: number): number {
    const { ids } = this;
    const { length } = ids;
    let hash = Math.imul(id ^ Math.floor(id / BIG_ID), HASH_1);
    hash = Math.imul(hash ^ (hash >>> 15), HASH_2) ^ seed;
    let slot = Math.floor(((hash ^ (hash >>> 13)) >>> 0) * (length / 2 ** 32));
    while (ids[slot] !== 0 && ids[slot] !== id) slot = slot + 1 === length ? 0 : slot + 1;
    return slot;
  }
}

/** Random, so that no file can be made whose ids all collide. */
const seed = (Math.random() * 2 ** 32) >>> 0;

/** The id in the entry that is the present field of `r`. */
function idOf(r: Reader): number {
  let id = 0;
  for (const m = r.message(); m.next(); ) if (m.field === ENTRY_ID) id = m.id();
  return id;
}
