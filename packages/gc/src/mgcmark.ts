/**
 * Marking: from the roots to everything reachable, in bounded steps.
 *
 * ## Colours
 * White: mark bit clear. Grey: marked, and waiting in one of the two queues below. Black: marked and scanned. A new
 * object is black from birth, as the allocator marks the runs it hands out while marking is on.
 *
 * ## Two ways to wait
 * 1. *Small pointerful objects* (16 to 512 bytes, all in spans of one page) wait with their page. Marking such an
 *    object queues its page, once. When the page's turn comes, everything marked there and not yet scanned is scanned,
 *    until nothing on the page is left (marking an object of the page in hand just adds to the work in hand). Objects
 *    gather while their page waits in a FIFO queue, so a page is visited a few times, and a visit walks through memory
 *    in order. On a heap in random order this is 2.5 times faster than a stack of objects, which misses the cache at
 *    every step; in allocation order both are equal.
 *    A page with one waiting object is scanned without looking for others: the queue entry names it. Else a linked
 *    list in random order, which never has more than one, would pay for a whole page at each link.
 * 2. *Everything else* pointerful (8 bytes; over 512 bytes, whose type is in a header; large objects, whose type is in
 *    their span) waits in a stack of addresses. Large objects are cut into oblets of 4 KiB.
 *
 *     queue entry        0..18  page                19..27  index of the object that queued the page
 *     page state (u32)   cycle              seen in this cycle, not queued now
 *                        cycle | 1          queued for one object
 *                        cycle | 2          queued for several, or being visited
 *                        anything else      not seen in this cycle: the row of scan bits holds an older cycle's
 *     scan row (64 B)    bit i: object i of the page has been scanned in this cycle
 *
 * `cycle` is a multiple of 4 that grows with every cycle, so nothing needs to be cleared between cycles. A page is in
 * the queue at most once, so a ring with a slot for every page can't overflow: marking of small objects never needs
 * memory. The stack grows by pages of the heap. If there is none left (and its
 * thousand entries outside of the heap are used up), the object stays marked and unscanned, `overflow`
 * is set, and `markOverflow` scans all spans of such classes again at the end: slow, but a collection does not fail for
 * want of memory when it is wanted most.
 *
 * ## Bounded steps
 * `drain(budget)` scans about `budget` bytes (a page visit or an oblet more at most). Not only the pause bound asks for
 * it: V8 runs a loop that never returns in code 1.5 times slower than a function called often (on-stack replacement).
 *
 * Rejected: a stack of objects alone (2.5 times slower in random order); queueing pages LIFO (400 ns an object in random
 * order, as pages are visited for a single object); a small FIFO before the stack to prefetch (JS can't prefetch, and
 * an early load gained nothing).
 *
 * Sources: Go's "Green Tea" collector (issue 73581); runtime/mgcmark.go, mgcmark_greenteagc.go; performance figures
 * are of bench/mark.ts.
 */
import { PAGE_SHIFT } from "@gort/allocator/internal";
import { type ClassTables, MAGIC_SHIFT, PAGE_MARK_MAX, PAGE_MASK } from "./classtables.ts";
import { hex, throwFatal } from "./errors.ts";
import type { ScanStats } from "./gctrace.ts";
import { type GCHeap, GCTYPE, MSPAN, OBJ_LARGE_CLASS } from "./heap.ts";
import { forEachPointerSlot } from "./heapwalk.ts";

/** Words of a page's row of scan bits: one bit for each object of 16 bytes. */
const SCAN_ROW_WORDS = 16;
const SCAN_ROW_SHIFT = 4;

/**
 * Part of a large object that is scanned at a time, in bytes. Smaller: more queueing; larger: longer steps. One of pointers
 * to pages that no cache holds takes a microsecond for each.
 */
export const OBLET_BYTES = 4 << 10;

const PAGE_BITS = 32 - PAGE_SHIFT;
const ENTRY_PAGE_MASK = (1 << PAGE_BITS) - 1;

/**
 *     workbuf     0  next    the buffer below this one, 0 for the last
 *                 4  -
 *                 8  addresses of grey objects, up to WORKBUF_BYTES
 */
const WORKBUF_BYTES = 8192;
const WORKBUF_HEADER = 8;

/** Marks from roots that others feed in through `shade`, `scanRoots` and `scanObject`. */
export class Marker {
  readonly #heap: GCHeap;
  readonly #u32: Uint32Array;
  readonly #tables: ClassTables;
  // Tables in linear memory, as word indices.
  readonly #pageInfo: number;
  readonly #pageSpan: number;
  readonly #heapBits: number;
  readonly #scanRows: number;
  readonly #pageState: number;
  readonly #queue: number;
  /** Pages with rows counted in gcSys. */
  #mappedPages = 0;
  readonly #ringMask: number;
  #cycle = 0;

  // The ring of pages: counters, not wrapped.
  #qhead = 0;
  #qtail = 0;

  // The stack of addresses: word indices into the topmost workbuf. The lowest workbuf is never given back.
  readonly #base: number;
  #sp = 0;
  #low = 0;
  #high = 0;
  /** Topmost workbuf, and empty ones kept for the next push. */
  #buf = 0;
  #free = 0;
  /** The stack could not grow: see markOverflow. */
  overflow = false;

  /** Bytes of objects marked in this cycle, in slots. */
  bytesMarked = 0;
  /** Bytes of heap scanned in this cycle. */
  heapScanWork = 0;
  /** Whether a pointer into a span that is not in use ends the program. */
  invalidptr = true;

  // What gctrace=2 tells.
  pagesVisited = 0;
  objsByPage = 0;
  objsStacked = 0;

  constructor(heap: GCHeap) {
    this.#heap = heap;
    this.#u32 = heap.mem.u32;
    this.#tables = heap.classes;
    this.#pageInfo = heap.pageInfo >>> 2;
    this.#pageSpan = heap.pageSpan >>> 2;
    this.#heapBits = heap.heapBits >>> 2;
    const pages = Math.ceil(heap.mem.size / (1 << PAGE_SHIFT));
    // A ring with a slot for every page, in a power of two.
    const ring = 1 << (32 - Math.clz32(pages - 1));
    const reserve = (bytes: number): number => {
      const addr = heap.mem.sysReserve(bytes, 4096, "low");
      if (addr === 0) throwFatal("gc: no room for the mark tables", `${bytes} bytes`);
      return addr >>> 2;
    };
    this.#scanRows = reserve(pages << (SCAN_ROW_SHIFT + 2));
    this.#pageState = reserve(pages * 4);
    this.#queue = reserve(ring * 4);
    this.#ringMask = ring - 1;
    this.#base = heap.mem.persistentAlloc(WORKBUF_BYTES, 8, "gcSys");
    if (this.#base === 0) throwFatal("gc: no room for a workbuf", `${WORKBUF_BYTES} bytes`);
    this.#use(this.#base);
    this.#sp = this.#low;
  }

  /** Starts a cycle: nothing is grey. Rows for heap pages added since the last cycle are counted under gcSys. */
  reset(): void {
    this.#cycle += 4;
    if (this.#cycle >= 2 ** 30) throwFatal("gc: cycle counter overflow");
    this.#qhead = 0;
    this.#qtail = 0;
    this.bytesMarked = 0;
    this.heapScanWork = 0;
    this.pagesVisited = 0;
    this.objsByPage = 0;
    this.objsStacked = 0;
    this.overflow = false;
    const pages = this.#heap.heapPages();
    if (pages > this.#mappedPages) {
      // A scan row, a state and a slot of the ring for each page.
      const perPage = (1 << (SCAN_ROW_SHIFT + 2)) + 8;
      this.#heap.mem.sysMap(this.#scanRows << 2, (pages - this.#mappedPages) * perPage, "gcSys");
      this.#mappedPages = pages;
    }
  }

  /** True when no object is grey. */
  get idle(): boolean {
    return this.#qhead === this.#qtail && this.#sp === this.#low && this.#buf === this.#base;
  }

  /** Makes the object that p points into grey, if it is white. p may be 0, interior, or no heap address at all. */
  shade(p: number): void {
    const u32 = this.#u32;
    const info = u32[this.#pageInfo + (p >>> PAGE_SHIFT)] as number;
    const sc = info & 255;
    const magic = this.#tables.magic[sc] as number;
    if (magic === 0) {
      if (p !== 0) this.#shadeSlow(p, info);
      return;
    }
    const idx = Math.imul(p & PAGE_MASK, magic) >>> MAGIC_SHIFT;
    const word = ((info >>> 7) & 0x1fffffe) + (idx >>> 5);
    const bit = 1 << (idx & 31);
    const marks = u32[word] as number;
    if ((marks & bit) !== 0) return;
    u32[word] = marks | bit;
    this.bytesMarked += this.#tables.size[sc] as number;
    if ((sc & 1) === 0) this.#queuePage(p >>> PAGE_SHIFT, idx);
  }

  /** Queues a page for its object idx, or notes that more than one waits. */
  #queuePage(page: number, idx: number): void {
    const u32 = this.#u32;
    const cycle = this.#cycle;
    const at = this.#pageState + page;
    const state = u32[at] as number;
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
    u32[this.#queue + (this.#qtail++ & this.#ringMask)] = page | (idx << PAGE_BITS);
  }

  /** shade for what the tables don't cover: spans of several pages, headers, large objects, and what is no object. */
  #shadeSlow(p: number, info: number): void {
    const u32 = this.#u32;
    if (info < 256) {
      if (this.invalidptr) this.#checkPointer(p);
      return;
    }
    const span = u32[this.#pageSpan + (p >>> PAGE_SHIFT)] as number;
    const base = u32[(span + MSPAN.startAddr) >>> 2] as number;
    const size = u32[(span + MSPAN.elemsize) >>> 2] as number;
    const idx = Math.trunc((p - base) / size);
    // The tail of a span that holds no whole object.
    if (idx >= (u32[(span + MSPAN.nelems) >>> 2] as number)) return;
    const word = ((info >>> 7) & 0x1fffffe) + (idx >>> 5);
    const bit = 1 << (idx & 31);
    const marks = u32[word] as number;
    if ((marks & bit) !== 0) return;
    u32[word] = marks | bit;
    this.bytesMarked += size;
    if ((info & 1) === 0) this.#push(base + idx * size);
  }

  /** A pointer to no object: fine outside of the heap and into spans used otherwise, else corruption. */
  #checkPointer(p: number): void {
    if (!this.#heap.isFreeHeapPage(p)) return;
    throwFatal(
      "found bad pointer in Go heap (incorrect use of unsafe or cgo?)",
      `runtime: pointer ${hex(p)} to unallocated span`,
    );
  }

  #push(addr: number): void {
    if (this.#sp === this.#high && !this.#grow()) {
      this.overflow = true;
      return;
    }
    this.#u32[this.#sp++] = addr;
  }

  /** Puts an empty workbuf on top. False if there is no memory for one. */
  #grow(): boolean {
    const u32 = this.#u32;
    let buf = this.#free;
    if (buf !== 0) this.#free = u32[buf >>> 2] as number;
    else {
      const base = this.#heap.allocWork();
      if (base === 0) return false;
      const bytes = this.#heap.workBytes;
      for (let off = WORKBUF_BYTES; off < bytes; off += WORKBUF_BYTES) {
        u32[(base + off) >>> 2] = this.#free;
        this.#free = base + off;
      }
      buf = base;
    }
    u32[buf >>> 2] = this.#buf;
    this.#use(buf);
    this.#sp = this.#low;
    return true;
  }

  #use(buf: number): void {
    this.#buf = buf;
    this.#low = (buf + WORKBUF_HEADER) >>> 2;
    this.#high = (buf + WORKBUF_BYTES) >>> 2;
  }

  /** The next address of the stack, 0 if it is empty. */
  #pop(): number {
    if (this.#sp === this.#low) {
      const buf = this.#buf;
      const below = this.#u32[buf >>> 2] as number;
      if (below === 0) return 0;
      this.#u32[buf >>> 2] = this.#free;
      this.#free = buf;
      this.#use(below);
      // Only a full workbuf is ever covered by another.
      this.#sp = this.#high;
    }
    return this.#u32[--this.#sp] as number;
  }

  /** Gives the memory of the (empty) stack back to the heap. */
  releaseWorkbufs(): void {
    if (!this.idle) throwFatal("gc: releasing workbufs of an unfinished mark");
    this.#use(this.#base);
    this.#sp = this.#low;
    this.#free = 0;
    this.#heap.freeWork();
  }

  /** Scans until about `budget` bytes are scanned or nothing is grey; gives the bytes scanned. */
  drain(budget: number): number {
    const before = this.heapScanWork;
    const end = before + budget;
    while (this.heapScanWork < end) {
      if (this.#qhead !== this.#qtail) {
        this.#visitPage();
        continue;
      }
      const addr = this.#pop();
      if (addr === 0) break;
      this.#scanStacked(addr);
    }
    return this.heapScanWork - before;
  }

  /** Takes the next page from the ring and scans what waits there. */
  #visitPage(): void {
    const u32 = this.#u32;
    const entry = u32[this.#queue + (this.#qhead++ & this.#ringMask)] as number;
    const page = entry & ENTRY_PAGE_MASK;
    const info = u32[this.#pageInfo + page] as number;
    const size = this.#tables.size[info & 255] as number;
    const state = this.#pageState + page;
    this.pagesVisited++;
    // One object waits: it is scanned alone. If that made others of its page grey, all of them follow.
    if (u32[state] === (this.#cycle | 1)) {
      this.#scanAlone(page, entry >>> PAGE_BITS, size);
      if (u32[state] === (this.#cycle | 1)) {
        u32[state] = this.#cycle;
        return;
      }
    }
    if ((size & (size - 1)) === 0 && size <= 256) this.#scanAligned(page, info, size);
    else this.#scanStraddling(page, info, size);
    u32[state] = this.#cycle;
  }

  /** Scans object idx of a page, and no other. */
  #scanAlone(page: number, idx: number, size: number): void {
    const u32 = this.#u32;
    const row = this.#scanRows + (page << SCAN_ROW_SHIFT) + (idx >>> 5);
    u32[row] = (u32[row] as number) | (1 << (idx & 31));
    let slot = (page << (PAGE_SHIFT - 3)) + Math.imul(idx, size >>> 3);
    for (let left = size >>> 3; left > 0; ) {
      const shift = slot & 31;
      const n = Math.min(left, 32 - shift);
      let bits = (u32[this.#heapBits + (slot >>> 5)] as number) >>> shift;
      if (n < 32) bits &= (1 << n) - 1;
      for (; bits !== 0; bits &= bits - 1) {
        this.shade(u32[(slot + 31 - Math.clz32(bits & -bits)) << 1] as number);
      }
      slot += n;
      left -= n;
    }
    this.heapScanWork += size;
    this.objsByPage++;
  }

  /**
   * Scans what is marked on a page and not scanned yet, until nothing is. The page has objects of 16, 32, 64, 128 or 256
   * bytes, so an object's pointer bits lie within one word. This and scanStraddling are one algorithm; marking is written
   * out in both, as a call for each pointer would double the time.
   */
  #scanAligned(page: number, info0: number, size0: number): void {
    const u32 = this.#u32;
    const pageInfo = this.#pageInfo;
    const pageState = this.#pageState;
    const magics = this.#tables.magic;
    const sizes = this.#tables.size;
    const busy = this.#cycle | 2;
    const markRow = (info0 >>> 7) & 0x1fffffe;
    const scanRow = this.#scanRows + (page << SCAN_ROW_SHIFT);
    const bitsRow = this.#heapBits + (page << (PAGE_SHIFT - 8));
    const pageWord = page << (PAGE_SHIFT - 2);
    const mask = 0xffffffff >>> (32 - (size0 >>> 3));
    const last = (this.#tables.nwords[info0 & 255] as number) - 1;
    let marked = 0;
    let work = 0;
    let k = last;
    // Something was found since k was at the last word.
    let found = false;
    for (;;) {
      const marks = u32[markRow + k] as number;
      let x = marks & ~(u32[scanRow + k] as number);
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
        let bits = ((u32[bitsRow + (off >>> 8)] as number) >>> ((off >>> 3) & 31)) & mask;
        let w = pageWord + ((off >>> 3) << 1);
        while (bits !== 0) {
          if ((bits & 1) !== 0) {
            const p = u32[w] as number;
            const info = u32[pageInfo + (p >>> PAGE_SHIFT)] as number;
            const sc = info & 255;
            const magic = magics[sc] as number;
            if (magic !== 0) {
              const idx = Math.imul(p & PAGE_MASK, magic) >>> MAGIC_SHIFT;
              const word = ((info >>> 7) & 0x1fffffe) + (idx >>> 5);
              const markBit = 1 << (idx & 31);
              const old = u32[word] as number;
              if ((old & markBit) === 0) {
                u32[word] = old | markBit;
                marked += sizes[sc] as number;
                if ((sc & 1) === 0 && u32[pageState + (p >>> PAGE_SHIFT)] !== busy) {
                  this.#queuePage(p >>> PAGE_SHIFT, idx);
                }
              }
            } else if (p !== 0) this.#shadeSlow(p, info);
          }
          bits >>>= 1;
          w += 2;
        }
      } while (x !== 0);
    }
    this.bytesMarked += marked;
    this.heapScanWork += work;
    this.objsByPage += work / size0;
  }

  /** The same for objects whose pointer bits may cross words, or fill two (512 bytes). */
  #scanStraddling(page: number, info0: number, size0: number): void {
    const u32 = this.#u32;
    const pageInfo = this.#pageInfo;
    const pageState = this.#pageState;
    const magics = this.#tables.magic;
    const sizes = this.#tables.size;
    const busy = this.#cycle | 2;
    const markRow = (info0 >>> 7) & 0x1fffffe;
    const scanRow = this.#scanRows + (page << SCAN_ROW_SHIFT);
    const bitsRow = this.#heapBits + (page << (PAGE_SHIFT - 8));
    const pageWord = page << (PAGE_SHIFT - 2);
    const nslots = size0 >>> 3;
    const last = (this.#tables.nwords[info0 & 255] as number) - 1;
    let marked = 0;
    let work = 0;
    let k = last;
    // Something was found since k was at the last word.
    let found = false;
    for (;;) {
      const marks = u32[markRow + k] as number;
      let x = marks & ~(u32[scanRow + k] as number);
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
          let bits = (u32[bitsRow + (at >>> 5)] as number) >>> shift;
          const left = nslots - slot;
          // The bits beyond this word, unless the object ends before them.
          if (shift + left > 32 && shift !== 0)
            bits |= (u32[bitsRow + (at >>> 5) + 1] as number) << (32 - shift);
          if (left < 32) bits &= (1 << left) - 1;
          let w = pageWord + (at << 1);
          while (bits !== 0) {
            if ((bits & 1) !== 0) {
              const p = u32[w] as number;
              const info = u32[pageInfo + (p >>> PAGE_SHIFT)] as number;
              const sc = info & 255;
              const magic = magics[sc] as number;
              if (magic !== 0) {
                const idx = Math.imul(p & PAGE_MASK, magic) >>> MAGIC_SHIFT;
                const word = ((info >>> 7) & 0x1fffffe) + (idx >>> 5);
                const markBit = 1 << (idx & 31);
                const old = u32[word] as number;
                if ((old & markBit) === 0) {
                  u32[word] = old | markBit;
                  marked += sizes[sc] as number;
                  if ((sc & 1) === 0 && u32[pageState + (p >>> PAGE_SHIFT)] !== busy) {
                    this.#queuePage(p >>> PAGE_SHIFT, idx);
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
    this.bytesMarked += marked;
    this.heapScanWork += work;
    this.objsByPage += work / size0;
  }

  /** How this cycle's objects were scanned. Pages are scanned object by object: in Go's terms, sparsely. */
  scanStats(): ScanStats {
    return {
      sparse: this.objsStacked,
      spanSparse: this.objsByPage,
      spanDense: 0,
      spansSparse: this.pagesVisited,
      spansDense: 0,
    };
  }

  /** Scans an entry of the stack: a whole object, or an oblet of a large one. */
  #scanStacked(addr: number): void {
    this.objsStacked++;
    const u32 = this.#u32;
    const span = u32[this.#pageSpan + (addr >>> PAGE_SHIFT)] as number;
    if ((u32[(span + MSPAN.spanclass) >>> 2] as number) >>> 1 === OBJ_LARGE_CLASS) {
      const base = u32[(span + MSPAN.startAddr) >>> 2] as number;
      const end = u32[(span + MSPAN.limit) >>> 2] as number;
      if (addr === base) {
        for (let oblet = base + OBLET_BYTES; oblet < end; oblet += OBLET_BYTES) this.#push(oblet);
      }
      const n = Math.min(OBLET_BYTES, end - addr);
      this.#scanTyped(addr, n, u32[(span + MSPAN.largeType) >>> 2] as number, addr - base);
      return;
    }
    this.#scanWhole(addr, span);
  }

  #scanWhole(addr: number, span: number): void {
    const u32 = this.#u32;
    const size = u32[(span + MSPAN.elemsize) >>> 2] as number;
    if (size > PAGE_MARK_MAX) {
      // The header in the first word holds the type of what follows.
      this.#scanTyped(addr + 8, size - 8, u32[addr >>> 2] as number, 0);
      return;
    }
    for (let off = 0; off < size; off += 8) {
      const a = addr + off;
      if ((u32[this.#heapBits + (a >>> 8)] as number) & (1 << ((a >>> 3) & 31)))
        this.shade(u32[a >>> 2] as number);
    }
    this.heapScanWork += size;
  }

  /** Scans n bytes at addr, `phase` bytes into a sequence of elements of the type. */
  #scanTyped(addr: number, n: number, typ: number, phase: number): void {
    this.heapScanWork += n;
    const u32 = this.#u32;
    if (typ === 0) return;
    const size = u32[(typ + GCTYPE.size) >>> 2] as number;
    const ptrdata = u32[(typ + GCTYPE.ptrdata) >>> 2] as number;
    if (ptrdata === 8 && size === 8) {
      for (let w = addr >>> 2, end = (addr + n) >>> 2; w < end; w += 2) this.shade(u32[w] as number);
      return;
    }
    const mask = (u32[(typ + GCTYPE.maskAddr) >>> 2] as number) >>> 2;
    // Position in the element, in slots; elements are whole slots.
    const slots = size >>> 3;
    const ptrSlots = ptrdata >>> 3;
    let slot = (phase % size) >>> 3;
    let w = addr >>> 2;
    const end = w + (n >>> 2);
    while (w < end) {
      if (slot < ptrSlots) {
        if ((u32[mask + (slot >>> 5)] as number) & (1 << (slot & 31))) this.shade(u32[w] as number);
        slot++;
        w += 2;
      } else {
        w += (slots - slot) << 1;
        slot = 0;
      }
    }
  }

  /** Shades every slot of a range of root slots. */
  scanRoots(lo: number, hi: number): void {
    const u32 = this.#u32;
    for (let w = lo >>> 2, end = hi >>> 2; w < end; w += 2) {
      const p = u32[w] as number;
      if (p !== 0) this.shade(p);
    }
  }

  /**
   * Shades what the object at base (its slot) refers to, but for itself: what a finalizer's object refers to has to live.
   */
  scanFinalizerObject(base: number): void {
    const heap = this.#heap;
    const u32 = this.#u32;
    const span = u32[this.#pageSpan + (base >>> PAGE_SHIFT)] as number;
    const size = u32[(span + MSPAN.elemsize) >>> 2] as number;
    forEachPointerSlot(heap, span, base, (slot) => {
      const p = u32[slot >>> 2] as number;
      if (p !== 0 && !(p >= base && p - base < size)) this.shade(p);
    });
    this.heapScanWork += size;
  }

  /**
   * After an overflow of the stack: scans every marked object of the classes that use it, again and again until no
   * further object overflows. Every round marks more, so it ends.
   */
  markOverflow(): void {
    const u32 = this.#u32;
    while (this.overflow) {
      this.overflow = false;
      this.#heap.forEachSpan((span) => {
        const spanclass = u32[(span + MSPAN.spanclass) >>> 2] as number;
        if ((spanclass & 1) !== 0 || this.#tables.byPage[spanclass] === 1) return;
        const base = u32[(span + MSPAN.startAddr) >>> 2] as number;
        const size = u32[(span + MSPAN.elemsize) >>> 2] as number;
        const marks = (u32[(span + MSPAN.gcmarkBits) >>> 2] as number) >>> 2;
        const nelems = u32[(span + MSPAN.nelems) >>> 2] as number;
        for (let i = 0; i < nelems; i++) {
          if (((u32[marks + (i >>> 5)] as number) & (1 << (i & 31))) === 0) continue;
          forEachPointerSlot(this.#heap, span, base + i * size, (slot) =>
            this.shade(u32[slot >>> 2] as number),
          );
          while (!this.idle) this.drain(1 << 20);
        }
      });
    }
  }
}
