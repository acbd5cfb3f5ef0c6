/**
 * The WebAssembly twin of the marker's hot part: mark-js.ts in the assembler of @gort/memory, function by function
 * under the same names, over the same words. It takes 0.6 of the time in allocation order and 0.75 in random order: no
 * bounds checks, one instruction to find a bit.
 *
 * Each thread assembles its own module when it first drains (3 KB, 1.5 to 2.5 milliseconds, a function at a time), so
 * that every table and every word of its GCWORK is a constant in the code. What is rare is the host's: lists of
 * workbufs, and reports of bad pointers.
 *
 * With `parallel`, the same code for several threads at once (protocol: mark-parallel.ts). What changes is in the
 * functions of the first half, and is an atomic instruction each time.
 */
import {
  atomicStore,
  block,
  constant,
  doWhile,
  drop,
  type Expr,
  type Func,
  type Local,
  loop,
  loopWhile,
  ret,
  type Stmt,
  select,
  store,
  WasmModule,
  wasmHost,
  when,
  zero8,
} from "@gort/memory/internal";
import { MAGIC_SHIFT, PAGE_MARK_MAX, PAGE_MASK } from "./class-tables.ts";
import {
  GCTYPE_AT,
  HEAP_BITS_SHIFT,
  MARK_BITS_ALIGN_SHIFT,
  MSPAN_AT,
  OBJ_LARGE_CLASS,
  PAGE_INFO_CLASS,
  PAGE_INFO_MARKS_SHIFT,
  PAGE_INFO_OBJECTS,
  PAGE_SHIFT,
} from "./heap.ts";
import { checkPointer, type MarkTwin } from "./mark-js.ts";
import {
  CLASS_ROW,
  CLASS_ROW_SHIFT,
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
import type { WorkBufs } from "./mgcwork.ts";

/** A word of memory at a constant address. */
const word = (addr: number): Expr => constant(0).load(addr);
const setWord = (addr: number, value: Expr | number): Stmt => store(0, value, addr);
const addWord = (addr: number, value: Expr | number): Stmt => setWord(addr, word(addr).add(value));

/** x = x + value. */
const inc = (x: Local, value: Expr | number): Stmt => x.set(x.add(value));

/**
 * Assembles the module for the thread of GCWORK `work`, a function at a time, and returns its bytes: all at once would
 * be a pause of 1.5 to 2.5 milliseconds.
 */
function* assembly(
  state: MarkState,
  work: number,
  parallel: boolean,
): Generator<undefined, Uint8Array<ArrayBuffer>, undefined> {
  const { heap, mem, mark } = state;
  const { pageInfo, pageSpan, heapBits } = heap;
  const { scanRows, pageState, classTable, ringMask } = state;
  const ring = mem.u32[(work + GCWORK_AT.ring) >>> 2];
  const cycleWord = mark + MARK_AT.cycle;

  const m = new WasmModule(mem.size / 65536, mem.shared);
  /** The stack's buffer is full; 0 if there is no other. */
  const grow = m.import("grow", 0, 1);
  /** The stack's buffer is empty; 0 if there is no other. */
  const refill = m.import("refill", 0, 1);
  const badPointer = m.import("checkPointer", 1, 0);

  /** The span class's constants are at this offset of the class table. */
  const classRow = (info: Expr): Expr => info.and(PAGE_INFO_CLASS).shl(CLASS_ROW_SHIFT);
  /** Address of the mark bits of a page with this info. */
  const markBits = (info: Expr): Expr => info.shr(PAGE_INFO_MARKS_SHIFT).shl(MARK_BITS_ALIGN_SHIFT);
  /** The word of mark bits that object idx of a page with this info has its bit in. */
  const markWord = (info: Expr, idx: Expr): Expr => markBits(info).add(idx.shr(5).shl(2));
  /** Counts one in the array at this offset of GCWORK, for the size class of a span class (or of an info). */
  const countClass = (offset: number, spanclass: Expr): Stmt => {
    const at = spanclass.and(PAGE_INFO_CLASS & ~1).shl(1);
    return store(at, at.load(work + offset).add(1), work + offset);
  };
  const stateOf = (page: Expr): Expr =>
    parallel ? page.shl(2).atomicLoad(pageState) : page.shl(2).load(pageState);

  /** Sets a mark bit, and runs `then` if this is who set it. `addr`, `bit` and `old` are locals. */
  const setMark = (addr: Local, bit: Local, old: Local, then: readonly Stmt[]): Stmt =>
    when(
      old.and(bit).eqz(),
      parallel ? [when(addr.atomicOr(bit).and(bit).eqz(), then)] : [store(addr, old.or(bit)), ...then],
    );

  /** Adds an entry to the ring, which has room for all pages. */
  const enqueue = (page: Expr, idx: Expr): Stmt[] => {
    const tail = m.local();
    return [
      tail.set(word(work + GCWORK_AT.qtail)),
      store(tail.and(ringMask).shl(2), page.or(idx.shl(PAGE_BITS)), ring),
      parallel
        ? atomicStore(0, tail.add(1), work + GCWORK_AT.qtail)
        : setWord(work + GCWORK_AT.qtail, tail.add(1)),
    ];
  };

  const clearScanRow = (page: Expr): Stmt[] => {
    const row = m.local();
    const words = Array.from({ length: SCAN_ROW_WORDS / 2 }, (_, k) => zero8(row, scanRows + 8 * k));
    return [row.set(page.shl(SCAN_ROW_SHIFT + 2)), ...words];
  };

  /** Queues a page for its object idx, or notes that more than one waits. */
  const queuePage = m.func("queuePage", ["page", "idx"], 0, ([page, idx]) => {
    const [cycle, old, at] = m.locals();
    const change = (from: Expr, to: Expr): Expr => at.atomicCas(from, to, pageState);
    return [
      cycle.set(word(cycleWord)),
      at.set(page.shl(2)),
      ...(parallel
        ? [
            loop((again) => [
              old.set(at.atomicLoad(pageState)),
              when(old.eq(cycle.or(2)), [ret()]),
              // Queued for one, or about to be: now for several. Whoever queues or visits it will see.
              when(old.eq(cycle.or(1)).or(old.eq(cycle.or(3))), [
                again.branch(change(old, cycle.or(2)).ne(old)),
                ret(),
              ]),
              when(
                old.eq(cycle),
                [again.branch(change(cycle, cycle.or(1)).ne(cycle))],
                [
                  again.branch(change(old, cycle.or(3)).ne(old)),
                  ...clearScanRow(page),
                  drop(change(cycle.or(3), cycle.or(1))),
                ],
              ),
            ]),
          ]
        : [
            old.set(at.load(pageState)),
            when(old.eq(cycle.or(2)), [ret()]),
            when(old.eq(cycle.or(1)), [store(at, cycle.or(2), pageState), ret()]),
            when(old.ne(cycle), clearScanRow(page)),
            store(at, cycle.or(1), pageState),
          ]),
      ...enqueue(page, idx),
    ];
  });

  /** Takes the ring's next entry into `entry` and runs `then`; passes over it if the ring is empty. */
  const dequeue = (entry: Local, then: readonly Stmt[]): Stmt[] => {
    const head = m.local();
    const take: Stmt[] = [entry.set(head.and(ringMask).shl(2).load(ring))];
    if (!parallel) {
      return [
        head.set(word(work + GCWORK_AT.qhead)),
        when(head.ne(word(work + GCWORK_AT.qtail)), [
          ...take,
          setWord(work + GCWORK_AT.qhead, head.add(1)),
          ...then,
        ]),
      ];
    }
    return [
      block((empty) => [
        loop((again) => [
          head.set(constant(0).atomicLoad(work + GCWORK_AT.qhead)),
          empty.branch(head.eq(word(work + GCWORK_AT.qtail))),
          ...take,
          again.branch(
            constant(0)
              .atomicCas(head, head.add(1), work + GCWORK_AT.qhead)
              .ne(head),
          ),
        ]),
        ...then,
      ]),
    ];
  };

  yield;
  const push = m.func("push", ["addr"], 0, ([addr]) => {
    const sp = m.local();
    return [
      sp.set(word(work + GCWORK_AT.sp)),
      when(sp.and(WORKBUF_MASK).eqz(), [
        when(grow.call().eqz(), [drop(constant(0).atomicOr(STACK_FULL, mark + MARK_AT.overflow)), ret()]),
        sp.set(word(work + GCWORK_AT.sp)),
      ]),
      store(sp, addr),
      setWord(work + GCWORK_AT.sp, sp.add(4)),
    ];
  });

  yield;
  /** The next address of the stack, 0 if there is none. */
  const pop = m.func("pop", [], 1, () => {
    const sp = m.local();
    return [
      sp.set(word(work + GCWORK_AT.sp)),
      when(sp.and(WORKBUF_MASK).eq(WORKBUF_HEADER), [
        when(refill.call().eqz(), [ret(0)]),
        sp.set(word(work + GCWORK_AT.sp)),
      ]),
      sp.set(sp.sub(4)),
      setWord(work + GCWORK_AT.sp, sp),
      ret(sp.load()),
    ];
  });

  yield;
  /** shade for what the class table does not cover; gives the bytes marked. */
  const shadeSlow = m.func("shadeSlow", ["p", "info"], 1, ([p, info]) => {
    const [span, base, size, idx] = m.locals();
    const [at, bit, old] = m.locals();
    return [
      when(info.lt(PAGE_INFO_OBJECTS), [when(word(mark + MARK_AT.invalidptr), [badPointer.run(p)]), ret(0)]),
      span.set(p.shr(PAGE_SHIFT).shl(2).load(pageSpan)),
      base.set(span.load(MSPAN_AT.startAddr)),
      size.set(span.load(MSPAN_AT.elemsize)),
      idx.set(p.sub(base).div(size)),
      // The tail of a span that holds no whole object.
      when(idx.ge(span.load(MSPAN_AT.nelems)), [ret(0)]),
      at.set(markWord(info, idx)),
      bit.set(constant(1).shl(idx)),
      old.set(at.load()),
      setMark(at, bit, old, [when(info.and(1).eqz(), [push.run(base.add(idx.mul(size)))]), ret(size)]),
      ret(0),
    ];
  });

  /** Makes the object that p points into grey, if it is white: code to be written out where it is needed. */
  const shade = (p: Local, marked: Local, busy: Expr): Stmt[] => {
    const [info, row, magic, idx] = m.locals();
    const [at, bit, old, page] = m.locals();
    return [
      page.set(p.shr(PAGE_SHIFT)),
      info.set(page.shl(2).load(pageInfo)),
      row.set(classRow(info)),
      magic.set(row.load(classTable + CLASS_ROW.magic)),
      when(
        magic,
        [
          idx.set(p.and(PAGE_MASK).mul(magic).shr(MAGIC_SHIFT)),
          at.set(markWord(info, idx)),
          bit.set(constant(1).shl(idx)),
          old.set(at.load()),
          setMark(at, bit, old, [
            inc(marked, row.load(classTable + CLASS_ROW.size)),
            when(info.and(1).eqz(), [when(stateOf(page).ne(busy), [queuePage.run(page, idx)])]),
          ]),
        ],
        [when(p, [inc(marked, shadeSlow.call(p, info))])],
      ),
    ];
  };

  yield;
  /** shade as a function; gives the bytes marked. */
  const shadeOne = m.func("shade", ["p"], 1, ([p]) => {
    const marked = m.local();
    return [...shade(p, marked, word(cycleWord).or(2)), ret(marked)];
  });

  /** The page in hand, where pointers to its own objects need no tables. */
  interface OwnPage {
    readonly page: Expr;
    readonly magic: Expr;
    /** Bytes of an object. */
    readonly size: Expr;
    /** Address of its row of mark bits. */
    readonly markRow: Expr;
  }

  /**
   * shade for an object of the page in hand, whose visit is going to find it. In parallel it is noted in GCWORK.own,
   * and marked and counted with the others of its word at the end: an atomic instruction each would cost a third of the
   * time.
   */
  const shadeOwn = (p: Local, marked: Local, own: OwnPage): Stmt[] => {
    const [idx, at, old] = m.locals();
    const bit = constant(1).shl(idx);
    return [
      idx.set(p.and(PAGE_MASK).mul(own.magic).shr(MAGIC_SHIFT)),
      at.set(idx.shr(5).shl(2)),
      ...(parallel
        ? [store(at, at.load(work + GCWORK_AT.own).or(bit), work + GCWORK_AT.own)]
        : [
            at.set(at.add(own.markRow)),
            old.set(at.load()),
            inc(marked, select(old.and(bit), 0, own.size)),
            store(at, old.or(bit)),
          ]),
    ];
  };

  /** Scans the words from w on that have a bit set in `bits`, lowest first. */
  const scanBits = (bits: Local, w: Local, marked: Local, busy: Expr, own?: OwnPage): Stmt => {
    const p = m.local();
    const any = shade(p, marked, busy);
    return loopWhile(bits, [
      p.set(w.add(bits.ctz().shl(3)).load()),
      bits.set(bits.and(bits.sub(1))),
      ...(own === undefined ? any : [when(p.shr(PAGE_SHIFT).eq(own.page), shadeOwn(p, marked, own), any)]),
    ]);
  };

  yield;
  /** Scans object idx of a page, and no other. */
  const scanAlone = m.func("scanAlone", ["page", "idx", "size"], 1, ([page, idx, size]) => {
    const [row, bit, marked, busy] = m.locals();
    const [slot, left, shift, n, bits, w] = m.locals();
    return [
      row.set(page.shl(SCAN_ROW_SHIFT).add(idx.shr(5)).shl(2)),
      bit.set(constant(1).shl(idx)),
      // Between marking it and queueing its page, a visit of the page may have scanned it.
      ...(parallel ? [when(row.load(scanRows).and(bit), [ret(0)])] : []),
      store(row, row.load(scanRows).or(bit), scanRows),
      busy.set(word(cycleWord).or(2)),
      slot.set(page.shl(PAGE_SHIFT - 3).add(idx.mul(size.shr(3)))),
      left.set(size.shr(3)),
      doWhile(
        [
          shift.set(slot.and(31)),
          n.set(constant(32).sub(shift)),
          n.set(select(left.lt(n), left, n)),
          bits.set(slot.shr(5).shl(2).load(heapBits).shr(shift)),
          when(n.lt(32), [bits.set(bits.and(constant(1).shl(n).sub(1)))]),
          w.set(slot.shl(3)),
          scanBits(bits, w, marked, busy),
          inc(slot, n),
          left.set(left.sub(n)),
        ],
        left,
      ),
      addWord(work + GCWORK_AT.bytesMarked, marked),
      addWord(work + GCWORK_AT.objsByPage, 1),
      ret(size),
    ];
  });

  /**
   * Scans what is marked on a page and not scanned yet, until nothing is. `straddling`: see scanStraddling of
   * mark-js.ts.
   */
  const scanPage = (name: string, straddling: boolean): Func =>
    m.func(name, ["page", "info", "size"], 1, ([page, info, size]) => {
      const magic = m.local();
      const [busy, markRow, scanRow, bitsRow, pageAddr] = m.locals();
      const [mask, last, k, marked, done] = m.locals();
      const [marks, x, bit, off, bits, w] = m.locals();
      const [found, nslots, slot, at, shift, left] = m.locals();

      const own: OwnPage = { page: page, magic, size: size, markRow };

      const scanAligned: Stmt[] = [
        bits.set(bitsRow.add(off.shr(HEAP_BITS_SHIFT).shl(2)).load().shr(off.shr(3)).and(mask)),
        w.set(pageAddr.add(off)),
        scanBits(bits, w, marked, busy, own),
      ];
      const scanStraddling: Stmt[] = [
        slot.set(0),
        doWhile(
          [
            at.set(off.shr(3).add(slot)),
            shift.set(at.and(31)),
            w.set(bitsRow.add(at.shr(5).shl(2))),
            bits.set(w.load().shr(shift)),
            left.set(nslots.sub(slot)),
            // The bits beyond this word, unless the object ends before them.
            when(shift.add(left).gt(32), [
              when(shift, [bits.set(bits.or(w.load(4).shl(constant(32).sub(shift))))]),
            ]),
            when(left.lt(32), [bits.set(bits.and(constant(1).shl(left).sub(1)))]),
            w.set(pageAddr.add(at.shl(3))),
            scanBits(bits, w, marked, busy, own),
            inc(slot, 32),
          ],
          slot.lt(nslots),
        ),
      ];

      const noted = k.load(work + GCWORK_AT.own);
      const markNoted: Stmt[] = [
        k.set(last.add(4)),
        doWhile(
          [
            k.set(k.sub(4)),
            x.set(noted),
            when(x, [
              marks.set(markRow.add(k).atomicOr(x)),
              inc(marked, x.and(marks.not()).popcnt().mul(size)),
              store(k, 0, work + GCWORK_AT.own),
            ]),
          ],
          k,
        ),
      ];

      return [
        busy.set(word(cycleWord).or(2)),
        markRow.set(markBits(info)),
        scanRow.set(page.shl(SCAN_ROW_SHIFT + 2).add(scanRows)),
        bitsRow.set(page.shl(PAGE_SHIFT - 6).add(heapBits)),
        pageAddr.set(page.shl(PAGE_SHIFT)),
        straddling ? nslots.set(size.shr(3)) : mask.set(constant(-1).shr(constant(32).sub(size.shr(3)))),
        last.set(
          classRow(info)
            .load(classTable + CLASS_ROW.nwords)
            .sub(1)
            .shl(2),
        ),
        magic.set(classRow(info).load(classTable + CLASS_ROW.magic)),
        loop((round) => [
          found.set(0),
          k.set(last),
          loop((next) => [
            marks.set(parallel ? markRow.add(k).load().or(noted) : markRow.add(k).load()),
            x.set(marks.and(scanRow.add(k).load().not())),
            when(x, [
              found.set(1),
              store(scanRow.add(k), marks),
              doWhile(
                [
                  bit.set(constant(31).sub(x.clz())),
                  x.set(x.xor(constant(1).shl(bit))),
                  off.set(k.shl(3).add(bit).mul(size)),
                  inc(done, 1),
                  ...(straddling ? scanStraddling : scanAligned),
                ],
                x,
              ),
              next.branch(),
            ]),
            when(k, [k.set(k.sub(4)), next.branch()]),
          ]),
          round.branch(found),
        ]),
        ...(parallel ? markNoted : []),
        addWord(work + GCWORK_AT.objsByPage, done),
        done.set(done.mul(size)),
        addWord(work + GCWORK_AT.bytesMarked, marked),
        ret(done),
      ];
    });
  yield;
  const scanAligned = scanPage("scanAligned", false);
  yield;
  const scanStraddling = scanPage("scanStraddling", true);

  yield;
  /** Whether an object of the page is marked and not scanned: 0 or the word of such bits that was found first. */
  const unscanned = m.func("unscanned", ["page", "info"], 1, ([page, info]) => {
    const [markRow, scanRow, k, x] = m.locals();
    return [
      markRow.set(markBits(info)),
      scanRow.set(page.shl(SCAN_ROW_SHIFT + 2).add(scanRows)),
      k.set(
        classRow(info)
          .load(classTable + CLASS_ROW.nwords)
          .shl(2),
      ),
      doWhile(
        [
          k.set(k.sub(4)),
          x.set(markRow.add(k).atomicLoad().and(scanRow.add(k).load().not())),
          when(x, [ret(x)]),
        ],
        k,
      ),
      ret(0),
    ];
  });

  yield;
  /** Scans what waits on the page of a ring entry. */
  const visitPage = m.func("visitPage", ["entry"], 1, ([entry]) => {
    const [page, info, size, cycle, done, at] = m.locals();
    const one = cycle.or(1);
    const scanAll = when(
      size.and(size.sub(1)).eqz().and(size.le(256)),
      [inc(done, scanAligned.call(page, info, size))],
      [inc(done, scanStraddling.call(page, info, size))],
    );
    return [
      page.set(entry.and(ENTRY_PAGE_MASK)),
      info.set(page.shl(2).load(pageInfo)),
      size.set(classRow(info).load(classTable + CLASS_ROW.size)),
      cycle.set(word(cycleWord)),
      at.set(page.shl(2)),
      addWord(work + GCWORK_AT.pagesVisited, 1),
      countClass(GCWORK_AT.classVisits, info),
      // One object waits: it is scanned alone. If others of its page became grey meanwhile, all of them follow.
      when(stateOf(page).eq(one), [
        done.set(scanAlone.call(page, entry.shr(PAGE_BITS), size)),
        ...(parallel
          ? [when(at.atomicCas(one, cycle, pageState).eq(one), [ret(done)])]
          : [when(at.load(pageState).eq(one), [store(at, cycle, pageState), ret(done)])]),
      ]),
      ...(parallel
        ? [
            loop((again) => [
              scanAll,
              atomicStore(at, cycle, pageState),
              // Another thread may have marked an object and left the page to this visit, which was past it. If the
              // page was queued for one object since, its visit has to look at all of it.
              when(unscanned.call(page, info), [
                again.branch(at.atomicXchg(cycle.or(2), pageState).eq(cycle)),
              ]),
            ]),
          ]
        : [scanAll, store(at, cycle, pageState)]),
      ret(done),
    ];
  });

  yield;
  /** Scans n bytes at addr, `phase` bytes into a sequence of elements of the type. */
  const scanTyped = m.func("scanTyped", ["addr", "n", "typ", "phase"], 1, ([addr, n, typ, phase]) => {
    const [size, ptrdata, mask, end, a] = m.locals();
    const [slot, slots, ptrSlots, p, marked, busy] = m.locals();
    return [
      when(typ.eqz(), [ret(n)]),
      size.set(typ.load(GCTYPE_AT.size)),
      ptrdata.set(typ.load(GCTYPE_AT.ptrdata)),
      mask.set(typ.load(GCTYPE_AT.maskAddr)),
      slots.set(size.shr(3)),
      ptrSlots.set(ptrdata.shr(3)),
      slot.set(phase.rem(size).shr(3)),
      busy.set(word(cycleWord).or(2)),
      a.set(addr),
      end.set(addr.add(n)),
      loopWhile(a.lt(end), [
        when(
          slot.lt(ptrSlots),
          [
            when(mask.add(slot.shr(5).shl(2)).load().shr(slot).and(1), [
              p.set(a.load()),
              ...shade(p, marked, busy),
            ]),
            inc(slot, 1),
            inc(a, 8),
          ],
          [inc(a, slots.sub(slot).shl(3)), slot.set(0)],
        ),
      ]),
      addWord(work + GCWORK_AT.bytesMarked, marked),
      ret(n),
    ];
  });

  yield;
  /** Scans an entry of the stack: a whole object, or an oblet of a large one. */
  const scanStacked = m.func("scanStacked", ["addr"], 1, ([addr]) => {
    const [span, base, end, n, size] = m.locals();
    const [off, a, marked] = m.locals();
    return [
      addWord(work + GCWORK_AT.objsStacked, 1),
      span.set(addr.shr(PAGE_SHIFT).shl(2).load(pageSpan)),
      countClass(GCWORK_AT.classStacked, span.load(MSPAN_AT.spanclass)),
      when(span.load(MSPAN_AT.spanclass).shr(1).eq(OBJ_LARGE_CLASS), [
        base.set(span.load(MSPAN_AT.startAddr)),
        end.set(span.load(MSPAN_AT.limit)),
        n.set(end.sub(addr)),
        when(
          addr
            .sub(base)
            .and(OBLET_GROUP_BYTES - 1)
            .eqz(),
          [
            when(n.gt(OBLET_GROUP_BYTES), [push.run(addr.add(OBLET_GROUP_BYTES)), n.set(OBLET_GROUP_BYTES)]),
            off.set(OBLET_BYTES),
            loopWhile(off.lt(n), [push.run(addr.add(off)), inc(off, OBLET_BYTES)]),
            n.set(end.sub(addr)),
          ],
        ),
        n.set(select(n.lt(OBLET_BYTES), n, OBLET_BYTES)),
        ret(scanTyped.call(addr, n, span.load(MSPAN_AT.largeType), addr.sub(base))),
      ]),
      size.set(span.load(MSPAN_AT.elemsize)),
      when(size.gt(PAGE_MARK_MAX), [
        // The header in the first word holds the type of what follows.
        ret(scanTyped.call(addr.add(8), size.sub(8), addr.load(), 0)),
      ]),
      doWhile(
        [
          a.set(addr.add(off)),
          when(a.shr(HEAP_BITS_SHIFT).shl(2).load(heapBits).shr(a.shr(3)).and(1), [
            inc(marked, shadeOne.call(a.load())),
          ]),
          inc(off, 8),
        ],
        off.lt(size),
      ),
      addWord(work + GCWORK_AT.bytesMarked, marked),
      ret(size),
    ];
  });

  yield;
  m.func("drain", ["budget"], 1, ([budget]) => {
    const [done, entry, addr] = m.locals();
    return [
      loop((again) => [
        ...dequeue(entry, [inc(done, visitPage.call(entry)), again.branch(done.lt(budget)), ret(done)]),
        addr.set(pop.call()),
        when(addr, [inc(done, scanStacked.call(addr)), again.branch(done.lt(budget))]),
      ]),
      ret(done),
    ];
  });

  yield;
  return m.bytes();
}

/** The kernel that drains for the thread of GCWORK `work`. Throws what the host throws where it can't compile. */
export function markWasm(state: MarkState, bufs: WorkBufs, work: number, parallel = false): MarkTwin {
  const steps = markWasmSteps(state, bufs, work, parallel);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The same in steps, a function each, for who has to keep nobody waiting. */
export function* markWasmSteps(
  state: MarkState,
  bufs: WorkBufs,
  work: number,
  parallel = false,
): Generator<undefined, MarkTwin, undefined> {
  const { heap, mem } = state;
  const host = wasmHost();
  if (host === undefined || mem.memory === null)
    throw new TypeError("gc: marker: wasm needs a WebAssembly.Memory");
  const bytes = yield* assembly(state, work, parallel);
  yield;
  const module = new host.Module(bytes);
  const { exports } = new host.Instance(module, {
    gort: {
      memory: mem.memory,
      grow: () => (bufs.grow(work) ? 1 : 0),
      refill: () => (bufs.refill(work) ? 1 : 0),
      checkPointer: (p: number) => checkPointer(heap, p >>> 0),
    },
  });
  return exports as unknown as MarkTwin;
}
