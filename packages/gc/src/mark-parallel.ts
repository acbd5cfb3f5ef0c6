/**
 * How several threads mark at once, in TypeScript: the plain form of what mark-wasm.ts emits with `parallel`. It runs
 * where there are threads but no WebAssembly. mark-js.ts is the same for one thread, and twice as fast.
 *
 * 1. *A mark bit* is set by an atomic or of its word. The thread that changed it from 0 queues the object. Marking
 *    never clears bits, so a plain load comes first. The kernel does not mark the objects of the page in hand one by
 *    one. It notes them in its GCWORK, scans them, and marks all noted objects before it gives the page up. If another
 *    thread marks one of them meanwhile, the scan row shows that it is scanned.
 * 2. *A page* belongs to the thread that took its entry from a ring, until that thread gives up the page's state. Only
 *    this thread touches the scan row. States change atomically:
 *
 *        stale      -> cycle | 3   by the thread that marked an object: it clears the scan row
 *        cycle | 3  -> cycle | 1   by the same thread; then it puts the entry
 *        cycle      -> cycle | 1   by a thread that marked an object; then it puts the entry
 *        cycle | 1, cycle | 3 -> cycle | 2   by a thread that marked another object
 *        cycle | 1  -> cycle       by the visitor that has scanned the one object
 *        cycle | 2  -> cycle       by the visitor that has scanned all it found
 *        cycle, cycle | 1 -> cycle | 2       by the same visitor, if something is left
 *
 *    A thread that marks an object and sees `cycle | 2` leaves the object to the visit. The visitor may be past the
 *    object already, so it compares marks and scan row once more after its store of `cycle`. If something is left, it
 *    exchanges the state for `cycle | 2`. From `cycle` that takes the page back. From `cycle | 1` it makes the queued
 *    visit scan the whole page, not only the object of its entry. The marking thread sets the mark and then loads the
 *    state. The visitor stores the state and then loads the marks. Atomics have one order, so at least one of the two
 *    loads sees the other thread's store.
 * 3. *A ring* has one producer. Any thread takes from its head by CAS. The counters do not wrap in a cycle, and no
 *    entry is overwritten while a thread may still take its number.
 * 4. *Workbufs* belong to a thread while it holds them; the lists are lock-free (mgcwork.ts).
 *
 * test/mark-model.test.ts walks through every interleaving of a small heap. mark-phase.ts decides when all are done.
 */
import { hasObjects, markBitsOf, spanClassOf } from "@gort/allocator/internal";
import { MAGIC_SHIFT, PAGE_MARK_MAX, PAGE_MASK } from "./class-tables.ts";
import {
  type GCHeap,
  GCTYPE_AT,
  HEAP_BITS_SHIFT,
  MALLOC_HEADER_SIZE,
  MSPAN_AT,
  OBJ_LARGE_CLASS,
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

export class MarkParallelJS implements MarkTwin {
  readonly #state: MarkState;
  readonly #heap: GCHeap;
  readonly #bufs: WorkBufs;
  readonly #work: number;
  readonly #u32: Uint32Array;
  readonly #ring: number;

  constructor(state: MarkState, bufs: WorkBufs, work: number) {
    this.#state = state;
    this.#heap = state.heap;
    this.#bufs = bufs;
    this.#work = work;
    this.#u32 = state.mem.u32;
    this.#ring = this.#u32[(work + GCWORK_AT.ring) >>> 2];
  }

  #word(addr: number): number {
    return this.#u32[addr >>> 2];
  }

  #add(field: number, n: number): void {
    this.#u32[(this.#work + field) >>> 2] = this.#word(this.#work + field) + n;
  }

  /** Sets bit idx of the row of mark bits at addr. True if this thread set it. */
  #setMark(addr: number, idx: number): boolean {
    const at = addr + ((idx >>> 5) << 2);
    const bit = 1 << (idx & 31);
    return (this.#word(at) & bit) === 0 && (this.#state.mem.kernel.or(at, bit) & bit) === 0;
  }

  /** Makes the object that p points into grey, if it is white. */
  shade(p: number): void {
    const { classes } = this.#heap;
    const page = p >>> PAGE_SHIFT;
    const info = this.#word(this.#heap.pageInfo + (page << 2));
    const magic = classes.magic[spanClassOf(info)];
    if (magic === 0) {
      if (p !== 0) this.#shadeSlow(p, info);
      return;
    }
    const idx = Math.imul(p & PAGE_MASK, magic) >>> MAGIC_SHIFT;
    if (!this.#setMark(markBitsOf(info), idx)) return;
    this.#add(GCWORK_AT.bytesMarked, classes.size[spanClassOf(info)]);
    if ((info & 1) === 0) this.#queuePage(page, idx);
  }

  #shadeSlow(p: number, info: number): void {
    if (!hasObjects(info)) {
      if (this.#state.get(MARK_AT.invalidptr) !== 0) checkPointer(this.#heap, p);
      return;
    }
    const span = this.#word(this.#heap.pageSpan + ((p >>> PAGE_SHIFT) << 2));
    const base = this.#word(span + MSPAN_AT.startAddr);
    const size = this.#word(span + MSPAN_AT.elemsize);
    const idx = Math.trunc((p - base) / size);
    if (idx >= this.#word(span + MSPAN_AT.nelems) || !this.#setMark(markBitsOf(info), idx)) return;
    this.#add(GCWORK_AT.bytesMarked, size);
    if ((info & 1) === 0) this.#push(base + idx * size);
  }

  #queuePage(page: number, idx: number): void {
    const { kernel } = this.#state.mem;
    const cycle = this.#state.get(MARK_AT.cycle);
    const at = this.#state.pageState + (page << 2);
    for (;;) {
      const old = kernel.load(at);
      if (old === (cycle | 2)) return;
      if (old === (cycle | 1) || old === (cycle | 3)) {
        if (kernel.cas(at, old, cycle | 2) === old) return;
      } else if (old === cycle) {
        if (kernel.cas(at, old, cycle | 1) === old) break;
      } else if (kernel.cas(at, old, cycle | 3) === old) {
        const row = (this.#state.scanRows >>> 2) + (page << SCAN_ROW_SHIFT);
        for (let k = 0; k < SCAN_ROW_WORDS; k++) this.#u32[row + k] = 0;
        kernel.cas(at, cycle | 3, cycle | 1);
        break;
      }
    }
    const tail = this.#word(this.#work + GCWORK_AT.qtail);
    this.#u32[(this.#ring >>> 2) + (tail & this.#state.ringMask)] = page | (idx << PAGE_BITS);
    kernel.store(this.#work + GCWORK_AT.qtail, tail + 1);
  }

  /** Takes the next entry of this thread's ring; -1 if it is empty. (An entry has 28 bits.) */
  #dequeue(): number {
    const { kernel } = this.#state.mem;
    const at = this.#work + GCWORK_AT.qhead;
    for (;;) {
      const head = kernel.load(at);
      if (head === (this.#word(this.#work + GCWORK_AT.qtail) | 0)) return -1;
      const entry = this.#word(this.#ring + ((head & this.#state.ringMask) << 2));
      if (kernel.cas(at, head, head + 1) === head) return entry;
    }
  }

  #push(addr: number): void {
    const at = (this.#work + GCWORK_AT.sp) >>> 2;
    const u32 = this.#u32;
    if ((u32[at] & WORKBUF_MASK) === 0 && !this.#bufs.grow(this.#work)) {
      this.#state.mem.kernel.or(this.#state.mark + MARK_AT.overflow, STACK_FULL);
      return;
    }
    const sp = u32[at];
    u32[sp >>> 2] = addr;
    u32[at] = sp + 4;
  }

  #pop(): number {
    const at = (this.#work + GCWORK_AT.sp) >>> 2;
    const u32 = this.#u32;
    if ((u32[at] & WORKBUF_MASK) === WORKBUF_HEADER && !this.#bufs.refill(this.#work)) return 0;
    const sp = u32[at] - 4;
    u32[at] = sp;
    return u32[sp >>> 2];
  }

  drain(budget: number): number {
    let work = 0;
    while (work < budget) {
      const entry = this.#dequeue();
      if (entry !== -1) {
        work += this.#visitPage(entry);
        continue;
      }
      const addr = this.#pop();
      if (addr === 0) break;
      work += this.#scanStacked(addr);
    }
    return work;
  }

  #visitPage(entry: number): number {
    const { kernel } = this.#state.mem;
    const { classes } = this.#heap;
    const page = entry & ENTRY_PAGE_MASK;
    const info = this.#word(this.#heap.pageInfo + (page << 2));
    const size = classes.size[spanClassOf(info)];
    const nwords = classes.nwords[spanClassOf(info)];
    const cycle = this.#state.get(MARK_AT.cycle);
    const state = this.#state.pageState + (page << 2);
    const row = this.#state.scanRows + (page << (SCAN_ROW_SHIFT + 2));
    this.#add(GCWORK_AT.pagesVisited, 1);
    this.#add(GCWORK_AT.classVisits + 4 * (spanClassOf(info) >>> 1), 1);
    let work = 0;
    if (kernel.load(state) === (cycle | 1)) {
      const idx = entry >>> PAGE_BITS;
      const at = row + ((idx >>> 5) << 2);
      const bit = 1 << (idx & 31);
      // After another thread had marked the object and before it queued the page, a visit may have scanned the object.
      if ((this.#word(at) & bit) === 0) {
        this.#u32[at >>> 2] = this.#word(at) | bit;
        work += this.#scanOnPage(page, idx, size);
      }
      if (kernel.cas(state, cycle | 1, cycle) === (cycle | 1)) return work;
    }
    for (;;) {
      work += this.#scanMarked(page, markBitsOf(info), row, nwords, size);
      kernel.store(state, cycle);
      if (!this.#unscanned(markBitsOf(info), row, nwords)) return work;
      // If another thread has queued the page for one object since, that visit has to look at all of the page.
      if (kernel.xchg(state, cycle | 2) !== cycle) return work;
    }
  }

  /** Whether an object is marked and not scanned, after the page's state says that it is not queued. */
  #unscanned(marks: number, row: number, nwords: number): boolean {
    const { kernel } = this.#state.mem;
    for (let k = 0; k < nwords; k++) {
      if ((kernel.load(marks + 4 * k) & ~this.#word(row + 4 * k)) !== 0) return true;
    }
    return false;
  }

  /** Scans the marked and unscanned objects until there is none. */
  #scanMarked(page: number, marks: number, row: number, nwords: number, size: number): number {
    let work = 0;
    for (let k = nwords - 1, found = false; ; ) {
      const marked = this.#word(marks + 4 * k);
      let x = marked & ~this.#word(row + 4 * k);
      if (x === 0) {
        if (k > 0) k--;
        else if (found) {
          found = false;
          k = nwords - 1;
        } else return work;
        continue;
      }
      found = true;
      this.#u32[(row + 4 * k) >>> 2] = marked;
      do {
        const bit = 31 - Math.clz32(x);
        x ^= 1 << bit;
        work += this.#scanOnPage(page, (k << 5) + bit, size);
      } while (x !== 0);
    }
  }

  #scanOnPage(page: number, idx: number, size: number): number {
    this.#add(GCWORK_AT.objsByPage, 1);
    return this.#scanByBits((page << PAGE_SHIFT) + idx * size, size);
  }

  /** Scans an object whose pointers are in the heap's bit map. */
  #scanByBits(addr: number, size: number): number {
    const { heapBits } = this.#heap;
    const base = addr >>> 0;
    for (let a = base; a < base + size; a += 8) {
      if ((this.#word(heapBits + ((a >>> HEAP_BITS_SHIFT) << 2)) & (1 << ((a >>> 3) & 31))) !== 0)
        this.shade(this.#word(a));
    }
    return size;
  }

  #scanStacked(addr: number): number {
    this.#add(GCWORK_AT.objsStacked, 1);
    const span = this.#word(this.#heap.pageSpan + ((addr >>> PAGE_SHIFT) << 2));
    const size = this.#word(span + MSPAN_AT.elemsize);
    const cls = this.#word(span + MSPAN_AT.spanclass) >>> 1;
    this.#add(GCWORK_AT.classStacked + 4 * cls, 1);
    if (cls === OBJ_LARGE_CLASS) {
      const base = this.#word(span + MSPAN_AT.startAddr);
      const end = this.#word(span + MSPAN_AT.limit);
      if (((addr - base) & (OBLET_GROUP_BYTES - 1)) === 0) this.#pushGroup(addr, end - addr);
      const n = Math.min(OBLET_BYTES, end - addr);
      return this.#scanTyped(addr, n, this.#word(span + MSPAN_AT.largeType), addr - base);
    }
    if (size <= PAGE_MARK_MAX) return this.#scanByBits(addr, size);
    return this.#scanTyped(addr + MALLOC_HEADER_SIZE, size - MALLOC_HEADER_SIZE, this.#word(addr), 0);
  }

  /** Queues the oblets of a group: see mark-js.ts. */
  #pushGroup(addr: number, left: number): void {
    if (left > OBLET_GROUP_BYTES) this.#push(addr + OBLET_GROUP_BYTES);
    const n = Math.min(left, OBLET_GROUP_BYTES);
    for (let off = OBLET_BYTES; off < n; off += OBLET_BYTES) this.#push(addr + off);
  }

  /** Scans n bytes at addr, `phase` bytes into a sequence of elements of the type. */
  #scanTyped(addr: number, n: number, typ: number, phase: number): number {
    if (typ === 0) return n;
    const size = this.#word(typ + GCTYPE_AT.size);
    const ptrdata = this.#word(typ + GCTYPE_AT.ptrdata);
    const mask = this.#word(typ + GCTYPE_AT.maskAddr);
    let at = phase % size;
    for (let a = addr; a < addr + n; a += 8) {
      if (
        at < ptrdata &&
        (this.#word(mask + ((at >>> HEAP_BITS_SHIFT) << 2)) & (1 << ((at >>> 3) & 31))) !== 0
      ) {
        this.shade(this.#word(a));
      }
      at += 8;
      if (at === size) at = 0;
    }
    return n;
  }
}
