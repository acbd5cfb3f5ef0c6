/**
 * The description of a span that is being made, from the request to the finished span.
 *
 * A heap has one SpanPlan and fills it anew for each span, so that making a span allocates no JS object. It never
 * makes two spans at once: nothing that runs while a span is made makes another.
 */
import { MIN_SIZE_FOR_HEADER, PAGE_SIZE, SPAN_IN_USE, SPAN_MANUAL } from "./layout.ts";
import { classToSize } from "./sizeclasses.generated.ts";
import { bitsBytes } from "./span-bits.ts";

export class SpanPlan {
  // The request.
  /** SPAN_IN_USE: a span of objects. SPAN_MANUAL: one of stacks, or the collector's own. */
  state = SPAN_IN_USE;
  /** Of a span of objects. */
  spanclass = 0;
  /** MANUAL_STACK or MANUAL_GC, of a manual span. */
  manualKind = 0;
  npages = 0;

  // The parts of the span.
  /** Address of the mark bits; 0 in a manual span, which has none. */
  bits = 0;
  /** The first page. */
  page = 0;
  /** Whether all its memory is known to be zero. */
  fresh = false;

  /** A span of objects of the class. npages is what the class says, or the size of a large object. */
  forObjects(npages: number, spanclass: number): this {
    return this.set(SPAN_IN_USE, spanclass, 0, npages);
  }

  /** A span of stacks or of the collector. */
  forManual(npages: number, kind: number): this {
    return this.set(SPAN_MANUAL, 0, kind, npages);
  }

  private set(state: number, spanclass: number, manualKind: number, npages: number): this {
    this.state = state;
    this.spanclass = spanclass;
    this.manualKind = manualKind;
    this.npages = npages;
    this.bits = 0;
    this.page = 0;
    this.fresh = false;
    return this;
  }

  /** Whether the span is for objects. */
  get holdsObjects(): boolean {
    return this.state === SPAN_IN_USE;
  }

  /** Whether heapBits describes the objects of the span: those with pointers that carry no header. */
  get needsHeapBits(): boolean {
    if (!this.holdsObjects || (this.spanclass & 1) !== 0) return false;
    const sizeclass = this.spanclass >>> 1;
    const elemsize = sizeclass === 0 ? this.npages * PAGE_SIZE : classToSize[sizeclass];
    return elemsize <= MIN_SIZE_FOR_HEADER;
  }

  /** Bytes of its mark bits; 0 in a manual span. */
  get bitsBytes(): number {
    return this.state === SPAN_IN_USE ? bitsBytes(this.spanclass) : 0;
  }

  /** State, class and kind in one word, for the recovery log. It is never 0. */
  get code(): number {
    return this.spanclass | (this.state << 8) | (this.manualKind << 16);
  }

  /** The plan whose code was logged. */
  static of(code: number, npages: number): SpanPlan {
    return new SpanPlan().set((code >>> 8) & 0xff, code & 0xff, code >>> 16, npages);
  }
}
