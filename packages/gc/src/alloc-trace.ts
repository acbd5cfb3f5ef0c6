/**
 * `GODEBUG=allocfreetrace=1`: the stack that allocated each object, and for each freed object the cycle that found it
 * unreachable and the stack in which its span was swept. The trace prints nothing by itself. When the program uses a
 * pointer to a freed object, the report says which object that was.
 *
 * Where the runtime notices a stale pointer:
 *
 * - in a root or an object: marking follows it into a free span, or the sweep finds a free slot marked;
 * - in a local: the facade's raw access checks the address.
 *
 * It does not notice a pointer whose slot was handed out again meanwhile.
 *
 * The records are JavaScript values of this thread, one for each slot address that was ever in use, so that the last
 * owner is known: a switch for finding a mistake, not for production. Objects that share a block of 16 bytes have one
 * record, that of the first.
 */
import { hex, throwFatal } from "@gort/base";
import type { Addr } from "@gort/memory";
import { CLOBBER_WORD } from "./clobber.ts";
import { type GCHeap, MSPAN_AT, PAGE_SHIFT } from "./heap.ts";
import { objectIndex } from "./heap-walk.ts";
import type { Roots } from "./mark-roots.ts";
import { forEachReachable } from "./mcheckmark.ts";

/** The last owner of a slot. */
interface AllocRecord {
  readonly base: number;
  readonly size: number;
  readonly span: number;
  readonly index: number;
  /** Grows with every allocation: of two records that cover an address, the one with the higher number counts. */
  readonly seq: number;
  readonly allocStack: string;
  /** The cycle that freed it, and the stack of the sweep; 0 while it is in use. */
  freeCycle: number;
  freeStack: string;
  /** The slot had a later owner that is not on record: the memory profile's rate was changed. */
  stale: boolean;
}

export class AllocTrace {
  readonly #heap: GCHeap;
  readonly #stack: () => string;
  /** By page, then by slot address. A slot of several pages is in the map of each page. */
  readonly #pages = new Map<number, Map<number, AllocRecord>>();
  /** One string for each distinct stack: most occur often. */
  readonly #stacks = new Map<string, string>();
  #seq = 0;
  /** Stack of the sweep that runs. */
  #sweepStack = "";

  /** @param stack returns the running goroutine's stack as text */
  constructor(heap: GCHeap, stack: () => string) {
    this.#heap = heap;
    this.#stack = stack;
  }

  #capture(): string {
    const text = this.#stack().replace(/\n+$/, "");
    const known = this.#stacks.get(text);
    if (known !== undefined) return known;
    this.#stacks.set(text, text);
    return text;
  }

  /** Records the allocation of the object at p. */
  allocated(p: number): void {
    const heap = this.#heap;
    const u32 = heap.mem.u32;
    const span = heap.allocator.spanOf(p as Addr) as number;
    const index = objectIndex(heap, span, p);
    const base = heap.objectBase(span, index);
    const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
    const record: AllocRecord = {
      base,
      size,
      span: u32[(span + MSPAN_AT.startAddr) >>> 2],
      index,
      seq: ++this.#seq,
      allocStack: this.#capture(),
      freeCycle: 0,
      freeStack: "",
      stale: false,
    };
    for (let page = base >>> PAGE_SHIFT; page <= (base + size - 1) >>> PAGE_SHIFT; page++) {
      let map = this.#pages.get(page);
      if (map === undefined) this.#pages.set(page, (map = new Map()));
      map.set(base, record);
    }
  }

  /**
   * A span is going to be swept. Takes the stack before the sweep changes anything, since that may run the program's
   * code.
   */
  sweepBegins(): void {
    this.#sweepStack = this.#capture();
  }

  /** Records that the sweep of a cycle frees the slot at base. */
  freed(base: number, cycle: number): void {
    const record = this.#find(base);
    if (record === undefined) return;
    if (record.freeCycle !== 0) {
      record.stale = true;
      return;
    }
    record.freeCycle = cycle;
    record.freeStack = this.#sweepStack;
  }

  #find(p: number): AllocRecord | undefined {
    let found: AllocRecord | undefined;
    for (const r of this.#pages.get(p >>> PAGE_SHIFT)?.values() ?? []) {
      if (p >= r.base && p - r.base < r.size && (found === undefined || r.seq > found.seq)) found = r;
    }
    return found;
  }

  /** Lines about the last owner of the memory at p; empty if it is not on record. */
  describe(p: number): string {
    const r = this.#find(p);
    if (r === undefined || r.stale) return "";
    const freed =
      r.freeCycle === 0 ? "" : `\n\nfreed by the sweep of cycle ${r.freeCycle}, in\n${r.freeStack}`;
    return (
      `\nruntime: object ${hex(r.base)} of ${r.size} bytes, slot ${r.index} of the span at ${hex(r.span)}` +
      `\n\nallocated by\n${r.allocStack}${freed}`
    );
  }

  /** Ends the program if p points to no object. Called before a raw pointer is used. */
  check(p: Addr): void {
    const { allocator } = this.#heap;
    if (p === CLOBBER_WORD) {
      throwFatal(
        "use of a pointer read from freed memory",
        `runtime: pointer ${hex(p)} is what clobberfree fills freed objects with`,
      );
    }
    const inHeap = p >= this.#heap.arenaStart && p < this.#heap.arenaEnd;
    const span = allocator.spanOf(p) as number;
    // Spans of stacks have no objects; nor has memory outside of the heap.
    if (!inHeap || allocator.findObject(p) !== 0 || (span !== 0 && this.#heap.isManual(span))) return;
    throwFatal(
      "use of a freed object (a raw pointer was kept over a safepoint)",
      `runtime: pointer ${hex(p)} to a freed object${this.describe(p)}`,
    );
  }
}

/** A line that names the slot or the root that leads to the object at base; empty if none does. */
export function whoHolds(heap: GCHeap, roots: Roots, base: number): string {
  let at = -1;
  forEachReachable(heap, roots, (span, i, from) => {
    if (at < 0 && heap.objectBase(span, i) === base) at = from;
  });
  if (at < 0) return "";
  return at === 0 ? "\nruntime: a root points to it" : `\nruntime: found at *(${hex(at)})`;
}

/** The caller's stack as V8 writes it: the stack of a program without goroutines. */
export function hostStack(): string {
  const limit = Error.stackTraceLimit;
  // Reflect.set: with frozen intrinsics the limit stays as it is, and nothing throws.
  Reflect.set(Error, "stackTraceLimit", 32);
  const holder: { stack?: string } = {};
  (Error as unknown as { captureStackTrace?: (o: object, below: unknown) => void }).captureStackTrace?.(
    holder,
    hostStack,
  );
  Reflect.set(Error, "stackTraceLimit", limit);
  return (holder.stack ?? "").replace(/^.*\n/, "");
}
