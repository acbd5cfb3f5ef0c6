/**
 * What all parts of the marking kernel share: the module under construction, the addresses that are constants of its
 * code, and how page info, mark bits and class table are read. mark-wasm.ts composes the kernel.
 */
import {
  constant,
  type Expr,
  type Func,
  type Local,
  type Stmt,
  store,
  WasmModule,
  when,
} from "@gort/memory/internal";
import { MARK_BITS_ALIGN_SHIFT, PAGE_INFO_CLASS, PAGE_INFO_MARKS_SHIFT } from "./heap.ts";
import { CLASS_ROW_SHIFT, GCWORK_AT, MARK_AT, type MarkState } from "./mark-state.ts";

/** A word of memory at a constant address. */
export const word = (addr: number): Expr => constant(0).load(addr);
export const setWord = (addr: number, value: Expr | number): Stmt => store(0, value, addr);
export const addWord = (addr: number, value: Expr | number): Stmt => setWord(addr, word(addr).add(value));

/** x = x + value. */
export const inc = (x: Local, value: Expr | number): Stmt => x.set(x.add(value));

/** The kernel of one thread while it is emitted. */
export class KernelCode {
  readonly m: WasmModule;
  /** Whether other threads mark at the same time. */
  readonly parallel: boolean;
  /** Address of the thread's GCWORK, and of its ring. */
  readonly work: number;
  readonly ring: number;
  readonly ringMask: number;
  readonly mark: number;
  readonly cycleWord: number;
  // Addresses of tables.
  readonly pageInfo: number;
  readonly pageSpan: number;
  readonly heapBits: number;
  readonly scanRows: number;
  readonly pageState: number;
  readonly classTable: number;
  /** Imports: the buffer in hand is full, or empty; 0 if there is no other. */
  readonly grow: Func;
  readonly refill: Func;
  /** Import: checkPointer of mark-twin.ts. */
  readonly badPointer: Func;

  constructor(state: MarkState, work: number, parallel: boolean) {
    const { heap, mem } = state;
    this.parallel = parallel;
    this.work = work;
    this.ring = mem.u32[(work + GCWORK_AT.ring) >>> 2];
    this.ringMask = state.ringMask;
    this.mark = state.mark;
    this.cycleWord = state.mark + MARK_AT.cycle;
    this.pageInfo = heap.pageInfo;
    this.pageSpan = heap.pageSpan;
    this.heapBits = heap.heapBits;
    this.scanRows = state.scanRows;
    this.pageState = state.pageState;
    this.classTable = state.classTable;
    this.m = new WasmModule(mem.size / 65536, mem.shared);
    this.grow = this.m.import("grow", 0, 1);
    this.refill = this.m.import("refill", 0, 1);
    this.badPointer = this.m.import("checkPointer", 1, 0);
  }

  /** Offset in the class table of the row of a page's span class. */
  classRow(info: Expr): Expr {
    return info.and(PAGE_INFO_CLASS).shl(CLASS_ROW_SHIFT);
  }

  /** Address of the mark bits of a page. */
  markBits(info: Expr): Expr {
    return info.shr(PAGE_INFO_MARKS_SHIFT).shl(MARK_BITS_ALIGN_SHIFT);
  }

  /** Address of the word of mark bits that has the bit of object idx. */
  markWord(info: Expr, idx: Expr): Expr {
    return this.markBits(info).add(idx.shr(5).shl(2));
  }

  /** Counts one in the array at this offset of GCWORK, for the size class of a span class or of a page info. */
  countClass(offset: number, spanclass: Expr): Stmt {
    const at = spanclass.and(PAGE_INFO_CLASS & ~1).shl(1);
    return store(at, at.load(this.work + offset).add(1), this.work + offset);
  }

  /** The state of a page. */
  stateOf(page: Expr): Expr {
    return this.parallel ? page.shl(2).atomicLoad(this.pageState) : page.shl(2).load(this.pageState);
  }

  /** Sets a mark bit, and runs `then` if this thread set it. `addr`, `bit` and `old` are locals. */
  setMark(addr: Local, bit: Local, old: Local, then: readonly Stmt[]): Stmt {
    const set = this.parallel
      ? [when(addr.atomicOr(bit).and(bit).eqz(), then)]
      : [store(addr, old.or(bit)), ...then];
    return when(old.and(bit).eqz(), set);
  }
}
