/**
 * The tables of a pprof file as places in it: a few bytes an entry instead of an object.
 */
import type { Reader } from "./reader.ts";

/** Slots of a hash table for an entry: more make chains shorter, and cost 8 bytes each. */
const slotsPerEntry = 1.25;
/** From here on an id needs more than 32 bits. */
const bigId = 2 ** 32;

/**
 * Where the entries begin that have ids. Ids that count 1, 2, 3 ... in the order of the file, as nearly all writers give
 * them, are their own index: 4 bytes an entry. Others are hashed, at 10 bytes an entry, those above 32 bits at 15; such
 * entries are longer themselves.
 *
 * Used in three steps: `count` every entry, `add` every entry, `find`.
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
    if (id >= bigId) this.countedBig++;
  }

  /** Adds the entry that is the present field of `r`. Fails if there is one with its id. */
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

  /** Where the entry with this id begins; `r` is where it's asked for, and fails where there is none. */
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
    if (id < bigId) {
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
    const slots = Math.ceil(entries * slotsPerEntry) + 1;
    this.ids = new Ids(slots);
    this.offsets = new Uint32Array(slots);
  }

  /** False if the id is there. */
  add(id: number, offset: number): boolean {
    const slot = this.slotOf(id);
    if (this.ids[slot] === id) return false;
    this.ids[slot] = id;
    this.offsets[slot] = offset;
    return true;
  }

  /** -1 if the id isn't there. */
  find(id: number): number {
    const slot = this.slotOf(id);
    return this.ids[slot] === id ? this.offsets[slot] : -1;
  }

  /** The slot that has the id, or the free one where it would go: there always is one. */
  private slotOf(id: number): number {
    const { ids } = this;
    const { length } = ids;
    let hash = Math.imul(id ^ Math.floor(id / bigId), 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b) ^ seed;
    let slot = Math.floor(((hash ^ (hash >>> 13)) >>> 0) * (length / 2 ** 32));
    while (ids[slot] !== 0 && ids[slot] !== id) slot = slot + 1 === length ? 0 : slot + 1;
    return slot;
  }
}

/** A file can't be made so that all its ids fall together. */
const seed = (Math.random() * 2 ** 32) >>> 0;

/** The id in the entry that is the present field of `r`. */
function idOf(r: Reader): number {
  let id = 0;
  for (const m = r.message(); m.next(); ) if (m.field === 1) id = m.id();
  return id;
}
