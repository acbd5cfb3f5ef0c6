/**
 * The TypeScript twin of the marker's hot part. mgcmark.ts has the algorithm; mark-wasm.ts is the other twin, with the
 * same functions under the same names. This twin shades for roots and for the write barrier, whichever twin drains. It
 * is for one thread at a time; mark-parallel.ts is for several.
 */

import { ctz32 } from "@gort/base";
import { type ClassTables, MAGIC_SHIFT, PAGE_MARK_MAX, PAGE_MASK } from "./class-tables.ts";
import {
  type GCHeap,
  GCTYPE_AT,
  HEAP_BITS_SHIFT,
  MALLOC_HEADER_SIZE,
  MSPAN_AT,
  OBJ_LARGE_CLASS,
  PAGE_INFO_CLASS,
  PAGE_INFO_MARK_WORD,
  PAGE_INFO_MARK_WORD_SHIFT,
  PAGE_INFO_OBJECTS,
  PAGE_SHIFT,
} from "./heap.ts";
import {
  ENTRY_PAGE_MASK,
  GCWORK_AT,
  MARK_AT,
  type MarkState,
  OBLET_BYTES,
  OBLET_GROUP_BYTES,
  PAGE_BITS,
  SCAN_ROW_SHIFT,
  SCAN_ROW_WORDS,
  STACK_FULL,
  WORKBUF_HEADER,
  WORKBUF_MASK,
} from "./mark-state.ts";
import { checkPointer, type MarkTwin } from "./mark-twin.ts";
import type { WorkBufs } from "./mgcwork.ts";

// Constants of the inner loops, under names of this file. V8 folds these into optimised code, but it loads an imported
// binding, such as the allocator's, at each use.
const PAGE = PAGE_SHIFT;
const OFFSET = PAGE_MASK;
const MAGIC = MAGIC_SHIFT;
const CLASS = PAGE_INFO_CLASS;
const MARKS = PAGE_INFO_MARK_WORD;
const MARKS_SHIFT = PAGE_INFO_MARK_WORD_SHIFT;
const BITS = HEAP_BITS_SHIFT;

export class MarkJS implements MarkTwin {
  readonly #heap: GCHeap;
  readonly #u32: Uint32Array;
  readonly #tables: ClassTables;
  readonly #magic: Int32Array;
  readonly #bufs: WorkBufs;
  /** This thread's GCWORK. */
  readonly #work: number;
  // Word indices.
  readonly #pageInfo: number;
  readonly #pageSpan: number;
  readonly #heapBits: number;
  readonly #scanRows: number;
  readonly #pageState: number;
  readonly #ring: number;
  readonly #ringMask: number;
  readonly #cycle: number;
  readonly #invalidptr: number;
  readonly #overflow: number;
  readonly #qhead: number;
  readonly #qtail: number;
  readonly #sp: number;
  readonly #bytesMarked: number;
  readonly #pagesVisited: number;
  readonly #objsByPage: number;
  readonly #objsStacked: number;
  readonly #classVisits: number;
  readonly #classStacked: number;

  constructor(state: MarkState, bufs: WorkBufs, work: number) {
    const { heap } = state;
    this.#heap = heap;
    this.#u32 = heap.mem.u32;
    this.#tables = heap.classes;
    this.#magic = heap.classes.magic;
    this.#bufs = bufs;
    this.#work = work;
    this.#pageInfo = heap.pageInfo >>> 2;
    this.#pageSpan = heap.pageSpan >>> 2;
    this.#heapBits = heap.heapBits >>> 2;
    this.#scanRows = state.scanRows >>> 2;
    this.#pageState = state.pageState >>> 2;
    this.#ring = this.#u32[(work + GCWORK_AT.ring) >>> 2] >>> 2;
    this.#ringMask = state.ringMask;
    this.#cycle = (state.mark + MARK_AT.cycle) >>> 2;
    this.#invalidptr = (state.mark + MARK_AT.invalidptr) >>> 2;
    this.#overflow = (state.mark + MARK_AT.overflow) >>> 2;
    this.#qhead = (work + GCWORK_AT.qhead) >>> 2;
    this.#qtail = (work + GCWORK_AT.qtail) >>> 2;
    this.#sp = (work + GCWORK_AT.sp) >>> 2;
    this.#bytesMarked = (work + GCWORK_AT.bytesMarked) >>> 2;
    this.#pagesVisited = (work + GCWORK_AT.pagesVisited) >>> 2;
    this.#objsByPage = (work + GCWORK_AT.objsByPage) >>> 2;
    this.#objsStacked = (work + GCWORK_AT.objsStacked) >>> 2;
    this.#classVisits = (work + GCWORK_AT.classVisits) >>> 2;
    this.#classStacked = (work + GCWORK_AT.classStacked) >>> 2;
  }

  /** Makes the object that p points into grey, if it is white. p may be 0, interior, or no heap address at all. */
  shade(p: number): void {
    const u32 = this.#u32;
    const info = u32[this.#pageInfo + (p >>> PAGE)];
    const sc = info & CLASS;
    const magic = this.#magic[sc];
    if (magic === 0) {
      if (p !== 0) this.#shadeSlow(p, info);
      return;
    }
    const idx = Math.imul(p & OFFSET, magic) >>> MAGIC;
    const word = ((info >>> MARKS_SHIFT) & MARKS) + (idx >>> 5);
    const bit = 1 << (idx & 31);
    const marks = u32[word];
    if ((marks & bit) !== 0) return;
    u32[word] = marks | bit;
    u32[this.#bytesMarked] = u32[this.#bytesMarked] + this.#tables.size[sc];
    if ((sc & 1) === 0) this.#queuePage(p >>> PAGE, idx);
  }

  /** Queues a page for its object idx, or notes that several objects wait there. */
  #queuePage(page: number, idx: number): void {
    const u32 = this.#u32;
    const cycle = u32[this.#cycle];
    const at = this.#pageState + page;
    const state = u32[at];
    if (state === (cycle | 2)) return;
    if (state === (cycle | 1)) {
      u32[at] = cycle | 2;
      return;
    }
    if (state !== cycle) {
      const row = this.#scanRows + (page << SCAN_ROW_SHIFT);
      for (let k = 0; k < SCAN_ROW_WORDS; k++) u32[row + k] = 0;
    }
    u32[at] = cycle | 1;
    const tail = u32[this.#qtail];
    u32[this.#ring + (tail & this.#ringMask)] = page | (idx << PAGE_BITS);
    u32[this.#qtail] = tail + 1;
  }

  /**
   * shade for pointers that the tables do not cover: into spans of several pages, objects with headers, large objects,
   * and into no object.
   */
  #shadeSlow(p: number, info: number): void {
    const u32 = this.#u32;
    if (info < PAGE_INFO_OBJECTS) {
      if (u32[this.#invalidptr] !== 0) checkPointer(this.#heap, p);
      return;
    }
    const span = u32[this.#pageSpan + (p >>> PAGE)];
    const base = u32[(span + MSPAN_AT.startAddr) >>> 2];
    const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
    const idx = Math.trunc((p - base) / size);
    // p is in the tail of a span, which holds no whole object.
    if (idx >= u32[(span + MSPAN_AT.nelems) >>> 2]) return;
    const word = ((info >>> MARKS_SHIFT) & MARKS) + (idx >>> 5);
    const bit = 1 << (idx & 31);
    const marks = u32[word];
    if ((marks & bit) !== 0) return;
    u32[word] = marks | bit;
    u32[this.#bytesMarked] = u32[this.#bytesMarked] + size;
    if ((info & 1) === 0) this.#push(base + idx * size);
  }

  #push(addr: number): void {
    const u32 = this.#u32;
    if ((u32[this.#sp] & WORKBUF_MASK) === 0 && !this.#bufs.grow(this.#work)) {
      u32[this.#overflow] = u32[this.#overflow] | STACK_FULL;
      return;
    }
    const sp = u32[this.#sp];
    u32[sp >>> 2] = addr;
    u32[this.#sp] = sp + 4;
  }

  /** Takes the next address from the stack; 0 if it is empty. */
  #pop(): number {
    const u32 = this.#u32;
    if ((u32[this.#sp] & WORKBUF_MASK) === WORKBUF_HEADER && !this.#bufs.refill(this.#work)) return 0;
    const sp = u32[this.#sp] - 4;
    u32[this.#sp] = sp;
    return u32[sp >>> 2];
  }

  drain(budget: number): number {
    const u32 = this.#u32;
    let work = 0;
    while (work < budget) {
      if (u32[this.#qhead] !== u32[this.#qtail]) {
        work += this.#visitPage();
        continue;
      }
      const addr = this.#pop();
      if (addr === 0) break;
      work += this.#scanStacked(addr);
    }
    return work;
  }

  /**
   * Takes the next page from the ring and scans what waits there. Returns the bytes scanned, as all scan functions do.
   */
  #visitPage(): number {
    const u32 = this.#u32;
    const head = u32[this.#qhead];
    u32[this.#qhead] = head + 1;
    const entry = u32[this.#ring + (head & this.#ringMask)];
    const cycle = u32[this.#cycle];
    const page = entry & ENTRY_PAGE_MASK;
    const info = u32[this.#pageInfo + page];
    const size = this.#tables.size[info & CLASS];
    const state = this.#pageState + page;
    u32[this.#pagesVisited] = u32[this.#pagesVisited] + 1;
    this.#countClass(this.#classVisits, info & CLASS);
    // One object waits: scan it alone. If other objects of its page became grey meanwhile, scan all of them.
    let work = 0;
    if (u32[state] === (cycle | 1)) {
      work = this.#scanAlone(page, entry >>> PAGE_BITS, size);
      if (u32[state] === (cycle | 1)) {
        u32[state] = cycle;
        return work;
      }
    }
    if ((size & (size - 1)) === 0 && size <= 256) work += this.#scanAligned(page, info, size);
    else work += this.#scanStraddling(page, info, size);
    u32[state] = cycle;
    return work;
  }

  /** Scans object idx of a page, and no other. */
  #scanAlone(page: number, idx: number, size: number): number {
    const u32 = this.#u32;
    const row = this.#scanRows + (page << SCAN_ROW_SHIFT) + (idx >>> 5);
    u32[row] = u32[row] | (1 << (idx & 31));
    let slot = (page << (PAGE - 3)) + Math.imul(idx, size >>> 3);
    for (let left = size >>> 3; left > 0; ) {
      const shift = slot & 31;
      const n = Math.min(left, 32 - shift);
      let bits = u32[this.#heapBits + (slot >>> 5)] >>> shift;
      if (n < 32) bits &= (1 << n) - 1;
      for (; bits !== 0; bits &= bits - 1) {
        this.shade(u32[(slot + ctz32(bits)) << 1]);
      }
      slot += n;
      left -= n;
    }
    u32[this.#objsByPage] = u32[this.#objsByPage] + 1;
    return size;
  }

  /**
   * Scans the marked and unscanned objects of a page, until there is none. The page has objects of 16, 32, 64, 128 or
   * 256 bytes, so an object's pointer bits lie within one word. scanStraddling is the same algorithm. Marking is
   * written out in both, as a call for each pointer would double the time.
   */
  #scanAligned(page: number, info0: number, size0: number): number {
    const u32 = this.#u32;
    const pageInfo = this.#pageInfo;
    const pageState = this.#pageState;
    const magics = this.#tables.magic;
    const sizes = this.#tables.size;
    const busy = u32[this.#cycle] | 2;
    const markRow = (info0 >>> MARKS_SHIFT) & MARKS;
    const scanRow = this.#scanRows + (page << SCAN_ROW_SHIFT);
    const bitsRow = this.#heapBits + (page << (PAGE - BITS));
    const pageWord = page << (PAGE - 2);
    const mask = 0xffffffff >>> (32 - (size0 >>> 3));
    const last = this.#tables.nwords[info0 & CLASS] - 1;
    let marked = 0;
    let work = 0;
    let k = last;
    // Whether an object was found since k was at the last word.
    let found = false;
    for (;;) {
      const marks = u32[markRow + k];
      let x = marks & ~u32[scanRow + k];
      if (x === 0) {
        if (k > 0) {
          k--;
          continue;
        }
        if (!found) break;
        found = false;
        k = last;
        continue;
      }
      found = true;
      u32[scanRow + k] = marks;
      do {
        const bit = 31 - Math.clz32(x);
        x ^= 1 << bit;
        const off = Math.imul((k << 5) + bit, size0);
        work += size0;
        let bits = (u32[bitsRow + (off >>> BITS)] >>> ((off >>> 3) & 31)) & mask;
        let w = pageWord + ((off >>> 3) << 1);
        while (bits !== 0) {
          if ((bits & 1) !== 0) {
            const p = u32[w];
            const info = u32[pageInfo + (p >>> PAGE)];
            const sc = info & CLASS;
            const magic = magics[sc];
            if (magic !== 0) {
              const idx = Math.imul(p & OFFSET, magic) >>> MAGIC;
              const word = ((info >>> MARKS_SHIFT) & MARKS) + (idx >>> 5);
              const markBit = 1 << (idx & 31);
              const old = u32[word];
              if ((old & markBit) === 0) {
                u32[word] = old | markBit;
                marked += sizes[sc];
                if ((sc & 1) === 0 && u32[pageState + (p >>> PAGE)] !== busy) {
                  this.#queuePage(p >>> PAGE, idx);
                }
              }
            } else if (p !== 0) this.#shadeSlow(p, info);
          }
          bits >>>= 1;
          w += 2;
        }
      } while (x !== 0);
    }
    u32[this.#bytesMarked] = u32[this.#bytesMarked] + marked;
    u32[this.#objsByPage] = u32[this.#objsByPage] + Math.trunc(work / size0);
    return work;
  }

  /** The same for objects whose pointer bits may cross words, or fill two (512 bytes). */
  #scanStraddling(page: number, info0: number, size0: number): number {
    const u32 = this.#u32;
    const pageInfo = this.#pageInfo;
    const pageState = this.#pageState;
    const magics = this.#tables.magic;
    const sizes = this.#tables.size;
    const busy = u32[this.#cycle] | 2;
    const markRow = (info0 >>> MARKS_SHIFT) & MARKS;
    const scanRow = this.#scanRows + (page << SCAN_ROW_SHIFT);
    const bitsRow = this.#heapBits + (page << (PAGE - BITS));
    const pageWord = page << (PAGE - 2);
    const nslots = size0 >>> 3;
    const last = this.#tables.nwords[info0 & CLASS] - 1;
    let marked = 0;
    let work = 0;
    let k = last;
    // Whether an object was found since k was at the last word.
    let found = false;
    for (;;) {
      const marks = u32[markRow + k];
      let x = marks & ~u32[scanRow + k];
      if (x === 0) {
        if (k > 0) {
          k--;
          continue;
        }
        if (!found) break;
        found = false;
        k = last;
        continue;
      }
      found = true;
      u32[scanRow + k] = marks;
      do {
        const bit = 31 - Math.clz32(x);
        x ^= 1 << bit;
        const off = Math.imul((k << 5) + bit, size0);
        work += size0;
        for (let slot = 0; slot < nslots; slot += 32) {
          const at = (off >>> 3) + slot;
          const shift = at & 31;
          let bits = u32[bitsRow + (at >>> 5)] >>> shift;
          const left = nslots - slot;
          // The bits that lie in the next word, unless the object ends before it.
          if (shift + left > 32 && shift !== 0) bits |= u32[bitsRow + (at >>> 5) + 1] << (32 - shift);
          if (left < 32) bits &= (1 << left) - 1;
          let w = pageWord + (at << 1);
          while (bits !== 0) {
            if ((bits & 1) !== 0) {
              const p = u32[w];
              const info = u32[pageInfo + (p >>> PAGE)];
              const sc = info & CLASS;
              const magic = magics[sc];
              if (magic !== 0) {
                const idx = Math.imul(p & OFFSET, magic) >>> MAGIC;
                const word = ((info >>> MARKS_SHIFT) & MARKS) + (idx >>> 5);
                const markBit = 1 << (idx & 31);
                const old = u32[word];
                if ((old & markBit) === 0) {
                  u32[word] = old | markBit;
                  marked += sizes[sc];
                  if ((sc & 1) === 0 && u32[pageState + (p >>> PAGE)] !== busy) {
                    this.#queuePage(p >>> PAGE, idx);
                  }
                }
              } else if (p !== 0) this.#shadeSlow(p, info);
            }
            bits >>>= 1;
            w += 2;
          }
        }
      } while (x !== 0);
    }
    u32[this.#bytesMarked] = u32[this.#bytesMarked] + marked;
    u32[this.#objsByPage] = u32[this.#objsByPage] + Math.trunc(work / size0);
    return work;
  }

  /** Counts one for the size class of a span class. */
  #countClass(counts: number, spanclass: number): void {
    const at = counts + (spanclass >>> 1);
    this.#u32[at] = this.#u32[at] + 1;
  }

  /** Scans an entry of the stack: a whole object, or an oblet of a large one. */
  #scanStacked(addr: number): number {
    const u32 = this.#u32;
    u32[this.#objsStacked] = u32[this.#objsStacked] + 1;
    const span = u32[this.#pageSpan + (addr >>> PAGE)];
    this.#countClass(this.#classStacked, u32[(span + MSPAN_AT.spanclass) >>> 2]);
    if (u32[(span + MSPAN_AT.spanclass) >>> 2] >>> 1 === OBJ_LARGE_CLASS) {
      const base = u32[(span + MSPAN_AT.startAddr) >>> 2];
      const end = u32[(span + MSPAN_AT.limit) >>> 2];
      if (((addr - base) & (OBLET_GROUP_BYTES - 1)) === 0) this.#pushGroup(addr, end - addr);
      const n = Math.min(OBLET_BYTES, end - addr);
      return this.#scanTyped(addr, n, u32[(span + MSPAN_AT.largeType) >>> 2], addr - base);
    }
    return this.#scanWhole(addr, span);
  }

  /** Queues the oblets of the group that begins at addr, except the first. Below them it queues the next group. */
  #pushGroup(addr: number, left: number): void {
    if (left > OBLET_GROUP_BYTES) this.#push(addr + OBLET_GROUP_BYTES);
    const n = Math.min(left, OBLET_GROUP_BYTES);
    for (let off = OBLET_BYTES; off < n; off += OBLET_BYTES) this.#push(addr + off);
  }

  #scanWhole(addr: number, span: number): number {
    const u32 = this.#u32;
    const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
    if (size > PAGE_MARK_MAX) {
      // The header in the first word holds the type of what follows.
      return this.#scanTyped(addr + MALLOC_HEADER_SIZE, size - MALLOC_HEADER_SIZE, u32[addr >>> 2], 0);
    }
    for (let off = 0; off < size; off += 8) {
      const a = addr + off;
      if (u32[this.#heapBits + (a >>> BITS)] & (1 << ((a >>> 3) & 31))) this.shade(u32[a >>> 2]);
    }
    return size;
  }

  /** Scans n bytes at addr, `phase` bytes into a sequence of elements of the type. */
  #scanTyped(addr: number, n: number, typ: number, phase: number): number {
    const u32 = this.#u32;
    if (typ === 0) return n;
    const size = u32[(typ + GCTYPE_AT.size) >>> 2];
    const ptrdata = u32[(typ + GCTYPE_AT.ptrdata) >>> 2];
    if (ptrdata === 8 && size === 8) {
      for (let w = addr >>> 2, end = (addr + n) >>> 2; w < end; w += 2) this.shade(u32[w]);
      return n;
    }
    const mask = u32[(typ + GCTYPE_AT.maskAddr) >>> 2] >>> 2;
    // Position in the element, in slots; elements are whole slots.
    const slots = size >>> 3;
    const ptrSlots = ptrdata >>> 3;
    let slot = (phase % size) >>> 3;
    let w = addr >>> 2;
    const end = w + (n >>> 2);
    while (w < end) {
      if (slot < ptrSlots) {
        if (u32[mask + (slot >>> 5)] & (1 << (slot & 31))) this.shade(u32[w]);
        slot++;
        w += 2;
      } else {
        w += (slots - slot) << 1;
        slot = 0;
      }
    }
    return n;
  }
}
