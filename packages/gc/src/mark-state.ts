/**
 * The state of marking in linear memory, for every thread and for both twins (mark-js.ts, mark-wasm.ts): they take
 * turns on the same words.
 *
 *     COLLECTOR -> MARK -> workers: GCWORK -> GCWORK -> ...     one a thread; the first is the collector's own
 *                    |                |-> ring of queued pages
 *                    |                '-> buf, spare: workbufs
 *                    |-> full, empty: lists of workbufs that no thread holds
 *                    '-> scan rows, page states: one a page of the memory
 *
 *     page state (u32)   cycle              seen in this cycle, not queued now
 *                        cycle | 1          queued for one object
 *                        cycle | 2          queued for several, or being visited
 *                        cycle | 3          its scan row is being cleared; then it will be queued
 *                        anything else      not seen in this cycle: the scan row holds an older cycle's
 *     scan row (64 B)    bit i: object i of the page has been scanned in this cycle
 *     ring entry         0..18  page        19..27  index of the object that queued the page
 *
 *     workbuf            0  next            the buffer below this one in a list
 *     (8 KiB, aligned)   4  nobj            entries, while no thread has it as buf
 *                        8  -
 *                        16 addresses of grey objects
 *
 * `cycle` is a multiple of 4 that grows with every cycle, so nothing has to be cleared between cycles. A page is in one
 * ring at most, and there once, so a ring with a slot for every page cannot overflow.
 */

import { outOfMemory, throwFatal } from "@gort/base";
import type { LinearMemory } from "@gort/memory";
import { defineStruct, f64s, u32s } from "@gort/memory/internal";
import { stateBlock } from "./gc-state.ts";
import { type GCHeap, NUM_SIZE_CLASSES, PAGE_INFO_CLASS, PAGE_SHIFT } from "./heap.ts";

/** Words of a page's row of scan bits: one bit for each object of 16 bytes. */
export const SCAN_ROW_WORDS = 16;
export const SCAN_ROW_SHIFT = 4;

/**
 * Part of a large object that is scanned at a time, in bytes. Smaller: more queueing; larger: longer steps. Each
 * pointer to a page that is in no cache takes a microsecond.
 */
export const OBLET_BYTES = 4 << 10;

/**
 * Oblets that are queued at a time, in bytes of the object. The first of a group queues the first of the next group,
 * and then its own group. So a step pushes at most 32 addresses, however large the object is. With more, steps get
 * longer and the stack deeper; with fewer, other threads find less to take.
 */
export const OBLET_GROUP_BYTES = 128 << 10;

export const PAGE_BITS = 32 - PAGE_SHIFT;
export const ENTRY_PAGE_MASK = (1 << PAGE_BITS) - 1;

export const WORKBUF_BYTES = 8192;
export const WORKBUF_MASK = WORKBUF_BYTES - 1;
export const WORKBUF_HEADER = 16;

/**
 * Marking as a whole; one a heap. The collector writes it while no other thread marks, unless a field says otherwise.
 */
const MARK = defineStruct("mark", {
  cycle: "u32",
  scanRows: "u32",
  pageState: "u32",
  /** Address of the tables of class-tables.ts, a CLASS_ROW for each span class. */
  classTable: "u32",
  /** Slots of a ring, less 1. */
  ringMask: "u32",
  /** Pages whose tables are counted in gcSys. */
  mappedPages: "u32",
  /** 0: marking passes over pointers into spans that are not in use. */
  invalidptr: "u32",
  /** STACK_FULL, THREAD_LOST or both: some marked objects were not scanned. Any thread sets it. */
  overflow: "u32",
  /** Lists of workbufs: the address of the first, and a counter that changes with every push. Changed by 64-bit CAS. */
  full: f64s(1),
  empty: f64s(1),
  /** Memory taken from the heap for workbufs. Changed by CAS. */
  chunks: "u32",
  /** Head of the list of GCWORKs. Changed by CAS; no entry leaves it. */
  workers: "u32",
  nworkers: "u32",
  /** The parallel phase: see mark-phase.ts. Changed by CAS. */
  gate: "u32",
  /** Threads that wait for work of a concurrent cycle. Added to atomically. */
  hungry: "u32",
  /** heapLive when the cycle began. Bytes allocated since are black without having been marked. */
  liveAtStart: "u32",
});
export const MARK_AT = MARK.offsets;

/** A thread's part, written by that thread. Other threads take pages from the ring by CAS of qhead. */
const GCWORK = defineStruct("gcWork", {
  next: "u32",
  id: "u32",
  /** One of WORK_*: what its thread does. */
  status: "u32",
  /** The phase that its thread joined last. */
  phase: "u32",
  /** Address of the ring; qhead and qtail count pages taken and put, modulo 2^32. */
  ring: "u32",
  qtail: "u32",
  /** The workbuf in hand, the end of its entries, and a spare one: a thread always has both. */
  buf: "u32",
  sp: "u32",
  spare: "u32",
  /** Two workbufs that the thread keeps for ever. */
  base: "u32",
  /** Bytes of the slots of objects marked in this cycle, without those that were born black. */
  bytesMarked: "u32",
  // Figures of gctrace=2.
  pagesVisited: "u32",
  objsByPage: "u32",
  objsStacked: "u32",
  /** Bytes of heap scanned in this cycle. */
  heapScanWork: "f64",
  /**
   * Marks of the page in hand that are not yet in its row of mark bits: see shadeOwn of mark-wasm-scan.ts. Zero between
   * visits.
   */
  own: u32s(SCAN_ROW_WORDS),
  /** qhead has a cache line of its own: other threads write it. */
  pad: f64s(8),
  qhead: "u32",
  padEnd: f64s(8),
  // Figures of gctrace=2 by size class: pages visited, entries of the stack scanned.
  classVisits: u32s(NUM_SIZE_CLASSES),
  classStacked: u32s(NUM_SIZE_CLASSES),
});
export const GCWORK_AT = GCWORK.offsets;

/** Bits of MARK.overflow. */
export const STACK_FULL = 1;
export const THREAD_LOST = 2;

// Values of GCWORK.status.
/** No thread has it. */
export const WORK_FREE = 0;
/** A collector has it. */
export const WORK_OWNED = 1;
/** A helper has it, and is in no phase. */
export const WORK_PARKED = 2;
/** A helper has it, and takes part in a phase. */
export const WORK_RUNNING = 3;
/** Its thread is gone. */
export const WORK_LOST = 4;
/** A helper has it, and is about to join a phase. */
export const WORK_JOINING = 5;
/** A collector has it, and its thread is in a slice of marking. */
export const WORK_ACTIVE = 6;

/** Offsets in a row of the class table; the fields are those of ClassTables. */
export const CLASS_ROW_SHIFT = 4;
export const CLASS_ROW = { magic: 0, size: 4, nwords: 8 } as const;

/** The state of a heap's marking, as one thread sees it. */
export class MarkState {
  readonly heap: GCHeap;
  readonly mem: LinearMemory;
  /** Address of the MARK block. */
  readonly mark: number;
  readonly scanRows: number;
  readonly pageState: number;
  readonly classTable: number;
  readonly ringMask: number;

  /** Finds the state that another thread has made, or makes it. */
  constructor(heap: GCHeap) {
    this.heap = heap;
    this.mem = heap.mem;
    const { mem } = this;
    const { u32 } = mem;
    this.mark = stateBlock(mem, "mark", () => this.#create());
    const at = this.mark >>> 2;
    this.scanRows = u32[at + (MARK_AT.scanRows >>> 2)];
    this.pageState = u32[at + (MARK_AT.pageState >>> 2)];
    this.classTable = u32[at + (MARK_AT.classTable >>> 2)];
    this.ringMask = u32[at + (MARK_AT.ringMask >>> 2)];
  }

  #reserve(bytes: number): number {
    const addr = this.mem.sysReserve(bytes, 4096, "low");
    if (addr === 0) outOfMemory(`gc: no room for the mark tables (${bytes} bytes)`);
    return addr;
  }

  #persistent(bytes: number, align: number): number {
    const addr = this.mem.persistentAlloc(bytes, align, "gcSys");
    if (addr === 0) outOfMemory(`gc: no room for the mark state (${bytes} bytes)`);
    return addr;
  }

  #create(): number {
    const { u32 } = this.mem;
    const pages = Math.ceil(this.mem.size / (1 << PAGE_SHIFT));
    const mark = this.#persistent(MARK.size, 64);
    const at = mark >>> 2;
    u32[at + (MARK_AT.scanRows >>> 2)] = this.#reserve(pages << (SCAN_ROW_SHIFT + 2));
    u32[at + (MARK_AT.pageState >>> 2)] = this.#reserve(pages * 4);
    // A slot for every page, rounded up to a power of two.
    u32[at + (MARK_AT.ringMask >>> 2)] = 2 ** (32 - Math.clz32(pages - 1)) - 1;
    const table = this.#persistent((PAGE_INFO_CLASS + 1) << CLASS_ROW_SHIFT, 64);
    u32[at + (MARK_AT.classTable >>> 2)] = table;
    const { classes } = this.heap;
    for (let sc = 0; sc <= PAGE_INFO_CLASS; sc++) {
      const row = (table + (sc << CLASS_ROW_SHIFT)) >>> 2;
      u32[row + (CLASS_ROW.magic >>> 2)] = classes.magic[sc];
      u32[row + (CLASS_ROW.size >>> 2)] = classes.size[sc];
      u32[row + (CLASS_ROW.nwords >>> 2)] = classes.nwords[sc];
    }
    return mark;
  }

  get(offset: number): number {
    return this.mem.u32[(this.mark + offset) >>> 2];
  }

  set(offset: number, value: number): void {
    this.mem.u32[(this.mark + offset) >>> 2] = value;
  }

  /** The thread of this GCWORK is gone, and the work that it had in hand is lost: see Marker.markOverflow. */
  lose(w: number): void {
    this.mem.kernel.store(w + GCWORK_AT.status, WORK_LOST);
    this.threadLost();
  }

  /** What a thread had in hand is lost, so every marked object has to be scanned again. */
  threadLost(): void {
    this.mem.kernel.or(this.mark + MARK_AT.overflow, THREAD_LOST);
  }

  /** Some marked objects were not scanned, since there was no memory for their addresses. */
  overflowed(): void {
    this.mem.kernel.or(this.mark + MARK_AT.overflow, STACK_FULL);
  }

  /** Returns a GCWORK for a thread: one that was given back, or a new one. Its status becomes `status`. */
  newWork(status: number): number {
    const { kernel, u32 } = this.mem;
    for (
      let w = kernel.load(this.mark + MARK_AT.workers) >>> 0;
      w !== 0;
      w = u32[(w + GCWORK_AT.next) >>> 2]
    ) {
      if (kernel.cas(w + GCWORK_AT.status, WORK_FREE, status) === WORK_FREE) return w;
    }
    const w = this.#persistent(GCWORK.size, 64);
    const base = this.#persistent(2 * WORKBUF_BYTES, WORKBUF_BYTES);
    const at = w >>> 2;
    u32[at + (GCWORK_AT.status >>> 2)] = status;
    u32[at + (GCWORK_AT.ring >>> 2)] = this.#reserve((this.ringMask + 1) * 4);
    u32[at + (GCWORK_AT.base >>> 2)] = base;
    this.resetWork(w);
    u32[at + (GCWORK_AT.id >>> 2)] = kernel.add(this.mark + MARK_AT.nworkers, 1);
    for (;;) {
      const head = kernel.load(this.mark + MARK_AT.workers);
      u32[at + (GCWORK_AT.next >>> 2)] = head;
      if (kernel.cas(this.mark + MARK_AT.workers, head, w) === head) return w;
    }
  }

  /** Calls f with the GCWORK of every thread, past and present. */
  forEachWork(f: (w: number) => void): void {
    const { u32 } = this.mem;
    for (let w = this.get(MARK_AT.workers); w !== 0; w = u32[(w + GCWORK_AT.next) >>> 2]) f(w);
  }

  /** Makes a GCWORK, whose stack is empty, use its own two workbufs again. */
  releaseWork(w: number): void {
    const { u32 } = this.mem;
    const at = w >>> 2;
    const base = u32[at + (GCWORK_AT.base >>> 2)];
    u32[at + (GCWORK_AT.buf >>> 2)] = base;
    u32[at + (GCWORK_AT.sp >>> 2)] = base + WORKBUF_HEADER;
    u32[at + (GCWORK_AT.spare >>> 2)] = base + WORKBUF_BYTES;
    u32[(base + WORKBUF_BYTES + 4) >>> 2] = 0;
  }

  /** Empties a GCWORK: its pages, its addresses and its counts. */
  resetWork(w: number): void {
    const { u32, f64 } = this.mem;
    const at = w >>> 2;
    this.releaseWork(w);
    u32[at + (GCWORK_AT.qhead >>> 2)] = 0;
    u32[at + (GCWORK_AT.qtail >>> 2)] = 0;
    u32.fill(0, (w + GCWORK_AT.own) >>> 2, ((w + GCWORK_AT.own) >>> 2) + SCAN_ROW_WORDS);
    u32[at + (GCWORK_AT.bytesMarked >>> 2)] = 0;
    u32[at + (GCWORK_AT.pagesVisited >>> 2)] = 0;
    u32[at + (GCWORK_AT.objsByPage >>> 2)] = 0;
    u32[at + (GCWORK_AT.objsStacked >>> 2)] = 0;
    f64[(w + GCWORK_AT.heapScanWork) >>> 3] = 0;
    u32.fill(0, (w + GCWORK_AT.classVisits) >>> 2, (w + GCWORK_AT.classStacked + 4 * NUM_SIZE_CLASSES) >>> 2);
  }

  /**
   * Drops all waiting work, the states of pages, and what was scanned; marks and counts stay. No other thread marks.
   */
  dropWork(): void {
    this.set(MARK_AT.cycle, this.get(MARK_AT.cycle) + 4);
    this.forEachWork((w) => {
      this.mem.u32[(w + GCWORK_AT.qhead) >>> 2] = 0;
      this.mem.u32[(w + GCWORK_AT.qtail) >>> 2] = 0;
      this.releaseWork(w);
    });
    this.mem.bi64[(this.mark + MARK_AT.full) >>> 3] = 0n;
    this.mem.bi64[(this.mark + MARK_AT.empty) >>> 3] = 0n;
  }

  /** Starts a cycle: no object is grey. Counts the tables of new heap pages under gcSys. */
  reset(): void {
    const cycle = this.get(MARK_AT.cycle) + 4;
    if (cycle >= 2 ** 30) throwFatal("gc: cycle counter overflow");
    this.set(MARK_AT.cycle, cycle);
    this.set(MARK_AT.overflow, 0);
    // The world is stopped, so no thread waits: a count is left of threads that have died as they waited.
    this.set(MARK_AT.hungry, 0);
    this.set(MARK_AT.liveAtStart, this.heap.heapLive);
    this.forEachWork((w) => {
      this.resetWork(w);
      this.mem.kernel.cas(w + GCWORK_AT.status, WORK_LOST, WORK_FREE);
    });
    const pages = this.heap.heapPages();
    const mapped = this.get(MARK_AT.mappedPages);
    if (pages > mapped) {
      // For each page: a scan row, a state and a slot of the ring.
      const perPage = (1 << (SCAN_ROW_SHIFT + 2)) + 8;
      this.mem.sysMap(this.scanRows, (pages - mapped) * perPage, "gcSys");
      this.set(MARK_AT.mappedPages, pages);
    }
  }

  /** Whether the thread of w has neither a page nor an address. */
  isIdle(w: number): boolean {
    const { u32 } = this.mem;
    const at = w >>> 2;
    return (
      u32[at + (GCWORK_AT.qhead >>> 2)] === u32[at + (GCWORK_AT.qtail >>> 2)] &&
      (u32[at + (GCWORK_AT.sp >>> 2)] & WORKBUF_MASK) === WORKBUF_HEADER &&
      u32[(u32[at + (GCWORK_AT.spare >>> 2)] + 4) >>> 2] === 0
    );
  }
}
