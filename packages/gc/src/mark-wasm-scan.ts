/**
 * Shading and scanning in the marking kernel: it makes the objects that pointers lead to grey, and scans grey objects.
 * The functions have the names of their twins in mark-js.ts.
 */
import {
  atomicStore,
  constant,
  doWhile,
  type Expr,
  type Func,
  type Local,
  loop,
  loopWhile,
  ret,
  type Stmt,
  select,
  store,
  when,
} from "@gort/memory/internal";
import { MAGIC_SHIFT, PAGE_MARK_MAX, PAGE_MASK } from "./class-tables.ts";
import {
  GCTYPE_AT,
  HEAP_BITS_SHIFT,
  MSPAN_AT,
  OBJ_LARGE_CLASS,
  PAGE_INFO_OBJECTS,
  PAGE_SHIFT,
} from "./heap.ts";
import {
  CLASS_ROW,
  ENTRY_PAGE_MASK,
  GCWORK_AT,
  MARK_AT,
  OBLET_BYTES,
  OBLET_GROUP_BYTES,
  PAGE_BITS,
  SCAN_ROW_SHIFT,
} from "./mark-state.ts";
import { addWord, inc, type KernelCode, word } from "./mark-wasm-code.ts";

/** shade for pointers that the class table does not cover; returns the bytes marked. */
export function emitShadeSlow(code: KernelCode, push: Func): Func {
  return code.m.func("shadeSlow", ["p", "info"], 1, ([p, info]) => {
    const [span, base, size, idx] = code.m.locals();
    const [at, bit, old] = code.m.locals();
    return [
      when(info.lt(PAGE_INFO_OBJECTS), [
        when(word(code.mark + MARK_AT.invalidptr), [code.badPointer.run(p)]),
        ret(0),
      ]),
      span.set(p.shr(PAGE_SHIFT).shl(2).load(code.pageSpan)),
      base.set(span.load(MSPAN_AT.startAddr)),
      size.set(span.load(MSPAN_AT.elemsize)),
      idx.set(p.sub(base).div(size)),
      // p is in the tail of a span, which holds no whole object.
      when(idx.ge(span.load(MSPAN_AT.nelems)), [ret(0)]),
      at.set(code.markWord(info, idx)),
      bit.set(constant(1).shl(idx)),
      old.set(at.load()),
      code.setMark(at, bit, old, [when(info.and(1).eqz(), [push.run(base.add(idx.mul(size)))]), ret(size)]),
      ret(0),
    ];
  });
}

/** Emits code that makes the object that p points into grey, if it is white. The code is written out at each use. */
export type Shade = (p: Local, marked: Local, busy: Expr) => Stmt[];

export function makeShade(code: KernelCode, queuePage: Func, shadeSlow: Func): Shade {
  return (p: Local, marked: Local, busy: Expr): Stmt[] => {
    const [info, row, magic, idx] = code.m.locals();
    const [at, bit, old, page] = code.m.locals();
    return [
      page.set(p.shr(PAGE_SHIFT)),
      info.set(page.shl(2).load(code.pageInfo)),
      row.set(code.classRow(info)),
      magic.set(row.load(code.classTable + CLASS_ROW.magic)),
      when(
        magic,
        [
          idx.set(p.and(PAGE_MASK).mul(magic).shr(MAGIC_SHIFT)),
          at.set(code.markWord(info, idx)),
          bit.set(constant(1).shl(idx)),
          old.set(at.load()),
          code.setMark(at, bit, old, [
            inc(marked, row.load(code.classTable + CLASS_ROW.size)),
            when(info.and(1).eqz(), [when(code.stateOf(page).ne(busy), [queuePage.run(page, idx)])]),
          ]),
        ],
        [when(p, [inc(marked, shadeSlow.call(p, info))])],
      ),
    ];
  };
}

/** shade as a function; returns the bytes marked. */
export function emitShadeOne(code: KernelCode, shade: Shade): Func {
  return code.m.func("shade", ["p"], 1, ([p]) => {
    const marked = code.m.local();
    return [...shade(p, marked, word(code.cycleWord).or(2)), ret(marked)];
  });
}

/** The page in hand. Pointers to its own objects need no tables. */
interface OwnPage {
  readonly page: Expr;
  readonly magic: Expr;
  /** Bytes of an object. */
  readonly size: Expr;
  /** Address of its row of mark bits. */
  readonly markRow: Expr;
}

/**
 * shade for an object of the page in hand: the visit of the page will find it. In parallel, the object is noted in
 * GCWORK.own. At the end of the visit all noted objects of a word are marked and counted together: an atomic
 * instruction for each would cost a third of the time.
 */
function shadeOwn(code: KernelCode, p: Local, marked: Local, own: OwnPage): Stmt[] {
  const [idx, at, old] = code.m.locals();
  const bit = constant(1).shl(idx);
  return [
    idx.set(p.and(PAGE_MASK).mul(own.magic).shr(MAGIC_SHIFT)),
    at.set(idx.shr(5).shl(2)),
    ...(code.parallel
      ? [store(at, at.load(code.work + GCWORK_AT.own).or(bit), code.work + GCWORK_AT.own)]
      : [
          at.set(at.add(own.markRow)),
          old.set(at.load()),
          inc(marked, select(old.and(bit), 0, own.size)),
          store(at, old.or(bit)),
        ]),
  ];
}

/** Scans the words from w on that have a bit set in `bits`, lowest first. */
function scanBits(
  code: KernelCode,
  shade: Shade,
  bits: Local,
  w: Local,
  marked: Local,
  busy: Expr,
  own?: OwnPage,
): Stmt {
  const p = code.m.local();
  const any = shade(p, marked, busy);
  return loopWhile(bits, [
    p.set(w.add(bits.ctz().shl(3)).load()),
    bits.set(bits.and(bits.sub(1))),
    ...(own === undefined
      ? any
      : [when(p.shr(PAGE_SHIFT).eq(own.page), shadeOwn(code, p, marked, own), any)]),
  ]);
}

/** Scans object idx of a page, and no other. */
export function emitScanAlone(code: KernelCode, shade: Shade): Func {
  return code.m.func("scanAlone", ["page", "idx", "size"], 1, ([page, idx, size]) => {
    const [row, bit, marked, busy] = code.m.locals();
    const [slot, left, shift, n, bits, w] = code.m.locals();
    return [
      row.set(page.shl(SCAN_ROW_SHIFT).add(idx.shr(5)).shl(2)),
      bit.set(constant(1).shl(idx)),
      // After another thread had marked the object and before it queued the page, a visit may have scanned the object.
      ...(code.parallel ? [when(row.load(code.scanRows).and(bit), [ret(0)])] : []),
      store(row, row.load(code.scanRows).or(bit), code.scanRows),
      busy.set(word(code.cycleWord).or(2)),
      slot.set(page.shl(PAGE_SHIFT - 3).add(idx.mul(size.shr(3)))),
      left.set(size.shr(3)),
      doWhile(
        [
          shift.set(slot.and(31)),
          n.set(constant(32).sub(shift)),
          n.set(select(left.lt(n), left, n)),
          bits.set(slot.shr(5).shl(2).load(code.heapBits).shr(shift)),
          when(n.lt(32), [bits.set(bits.and(constant(1).shl(n).sub(1)))]),
          w.set(slot.shl(3)),
          scanBits(code, shade, bits, w, marked, busy),
          inc(slot, n),
          left.set(left.sub(n)),
        ],
        left,
      ),
      addWord(code.work + GCWORK_AT.bytesMarked, marked),
      addWord(code.work + GCWORK_AT.objsByPage, 1),
      ret(size),
    ];
  });
}

/** Locals of a function that scans a page. */
interface PageScan extends OwnPage {
  readonly busy: Local;
  readonly marked: Local;
  readonly bitsRow: Local;
  readonly pageAddr: Local;
  /** Pointer bits of an object, and the address of the word of the first. */
  readonly bits: Local;
  readonly w: Local;
  /** Offset in the page of the object in hand. */
  readonly off: Local;
}

/** Scans the object at `off`, whose pointer bits lie within one word: `mask` has a one for each. */
function scanAlignedObject(code: KernelCode, shade: Shade, s: PageScan, mask: Local): Stmt[] {
  const { bits, w, off, marked, busy } = s;
  return [
    bits.set(s.bitsRow.add(off.shr(HEAP_BITS_SHIFT).shl(2)).load().shr(off.shr(3)).and(mask)),
    w.set(s.pageAddr.add(off)),
    scanBits(code, shade, bits, w, marked, busy, s),
  ];
}

/** The same for an object whose pointer bits may cross words, or fill two (512 bytes). Only this code uses `locals`. */
function scanStraddlingObject(code: KernelCode, shade: Shade, s: PageScan, locals: readonly Local[]): Stmt[] {
  const { bits, w, off, marked, busy } = s;
  const [nslots, slot, at, shift, left] = locals;
  return [
    slot.set(0),
    doWhile(
      [
        at.set(off.shr(3).add(slot)),
        shift.set(at.and(31)),
        w.set(s.bitsRow.add(at.shr(5).shl(2))),
        bits.set(w.load().shr(shift)),
        left.set(nslots.sub(slot)),
        // The bits that lie in the next word, unless the object ends before it.
        when(shift.add(left).gt(32), [
          when(shift, [bits.set(bits.or(w.load(4).shl(constant(32).sub(shift))))]),
        ]),
        when(left.lt(32), [bits.set(bits.and(constant(1).shl(left).sub(1)))]),
        w.set(s.pageAddr.add(at.shl(3))),
        scanBits(code, shade, bits, w, marked, busy, s),
        inc(slot, 32),
      ],
      slot.lt(nslots),
    ),
  ];
}

/**
 * Marks and counts the objects that shadeOwn has noted, from word `last` down. `k`, `x` and `marks` are free locals.
 */
function markNoted(code: KernelCode, s: PageScan, last: Local, k: Local, x: Local, marks: Local): Stmt[] {
  const own = code.work + GCWORK_AT.own;
  return [
    k.set(last.add(4)),
    doWhile(
      [
        k.set(k.sub(4)),
        x.set(k.load(own)),
        when(x, [
          marks.set(s.markRow.add(k).atomicOr(x)),
          inc(s.marked, x.and(marks.not()).popcnt().mul(s.size)),
          store(k, 0, own),
        ]),
      ],
      k,
    ),
  ];
}

/**
 * Scans the marked and unscanned objects of a page, until there is none. `straddling`: see scanStraddling of
 * mark-js.ts.
 */
export function emitScanPage(code: KernelCode, name: string, straddling: boolean, shade: Shade): Func {
  const { m, parallel } = code;
  return m.func(name, ["page", "info", "size"], 1, ([page, info, size]) => {
    const magic = m.local();
    const [busy, markRow, scanRow, bitsRow, pageAddr] = m.locals();
    const [mask, last, k, marked, done] = m.locals();
    const [marks, x, bit, off, bits, w] = m.locals();
    const [found, nslots, slot, at, shift, left] = m.locals();
    const s: PageScan = { page, magic, size, markRow, busy, marked, bitsRow, pageAddr, bits, w, off };
    const noted = k.load(code.work + GCWORK_AT.own);
    // Both are built, so that both functions have the same locals.
    const aligned = scanAlignedObject(code, shade, s, mask);
    const straddled = scanStraddlingObject(code, shade, s, [nslots, slot, at, shift, left]);
    const scanWord: Stmt[] = [
      found.set(1),
      store(scanRow.add(k), marks),
      doWhile(
        [
          bit.set(constant(31).sub(x.clz())),
          x.set(x.xor(constant(1).shl(bit))),
          off.set(k.shl(3).add(bit).mul(size)),
          inc(done, 1),
          ...(straddling ? straddled : aligned),
        ],
        x,
      ),
    ];
    const row = code.classRow(info);
    return [
      busy.set(word(code.cycleWord).or(2)),
      markRow.set(code.markBits(info)),
      scanRow.set(page.shl(SCAN_ROW_SHIFT + 2).add(code.scanRows)),
      bitsRow.set(page.shl(PAGE_SHIFT - 6).add(code.heapBits)),
      pageAddr.set(page.shl(PAGE_SHIFT)),
      straddling ? nslots.set(size.shr(3)) : mask.set(constant(-1).shr(constant(32).sub(size.shr(3)))),
      last.set(
        row
          .load(code.classTable + CLASS_ROW.nwords)
          .sub(1)
          .shl(2),
      ),
      magic.set(row.load(code.classTable + CLASS_ROW.magic)),
      loop((round) => [
        found.set(0),
        k.set(last),
        loop((next) => [
          marks.set(parallel ? markRow.add(k).load().or(noted) : markRow.add(k).load()),
          x.set(marks.and(scanRow.add(k).load().not())),
          when(x, [...scanWord, next.branch()]),
          when(k, [k.set(k.sub(4)), next.branch()]),
        ]),
        round.branch(found),
      ]),
      ...(parallel ? markNoted(code, s, last, k, x, marks) : []),
      addWord(code.work + GCWORK_AT.objsByPage, done),
      done.set(done.mul(size)),
      addWord(code.work + GCWORK_AT.bytesMarked, marked),
      ret(done),
    ];
  });
}

/** The functions that a visit of a page calls. */
export interface PageScanners {
  readonly alone: Func;
  readonly aligned: Func;
  readonly straddling: Func;
  readonly unscanned: Func;
}

/** Whether an object of the page is marked and not scanned: 0, or the first word of such bits that was found. */
export function emitUnscanned(code: KernelCode): Func {
  return code.m.func("unscanned", ["page", "info"], 1, ([page, info]) => {
    const [markRow, scanRow, k, x] = code.m.locals();
    return [
      markRow.set(code.markBits(info)),
      scanRow.set(page.shl(SCAN_ROW_SHIFT + 2).add(code.scanRows)),
      k.set(
        code
          .classRow(info)
          .load(code.classTable + CLASS_ROW.nwords)
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
}

/** Scans what waits on the page of a ring entry. */
export function emitVisitPage(code: KernelCode, scan: PageScanners): Func {
  return code.m.func("visitPage", ["entry"], 1, ([entry]) => {
    const [page, info, size, cycle, done, at] = code.m.locals();
    const one = cycle.or(1);
    const scanAll = when(
      size.and(size.sub(1)).eqz().and(size.le(256)),
      [inc(done, scan.aligned.call(page, info, size))],
      [inc(done, scan.straddling.call(page, info, size))],
    );
    return [
      page.set(entry.and(ENTRY_PAGE_MASK)),
      info.set(page.shl(2).load(code.pageInfo)),
      size.set(code.classRow(info).load(code.classTable + CLASS_ROW.size)),
      cycle.set(word(code.cycleWord)),
      at.set(page.shl(2)),
      addWord(code.work + GCWORK_AT.pagesVisited, 1),
      code.countClass(GCWORK_AT.classVisits, info),
      // One object waits: scan it alone. If other objects of its page became grey meanwhile, scan all of them.
      when(code.stateOf(page).eq(one), [
        done.set(scan.alone.call(page, entry.shr(PAGE_BITS), size)),
        ...(code.parallel
          ? [when(at.atomicCas(one, cycle, code.pageState).eq(one), [ret(done)])]
          : [when(at.load(code.pageState).eq(one), [store(at, cycle, code.pageState), ret(done)])]),
      ]),
      ...(code.parallel
        ? [
            loop((again) => [
              scanAll,
              atomicStore(at, cycle, code.pageState),
              // Another thread may have marked an object that this visit was past, and left it to the visit. If the
              // page was queued for one object since, that visit has to look at all of the page.
              when(scan.unscanned.call(page, info), [
                again.branch(at.atomicXchg(cycle.or(2), code.pageState).eq(cycle)),
              ]),
            ]),
          ]
        : [scanAll, store(at, cycle, code.pageState)]),
      ret(done),
    ];
  });
}

/** Scans n bytes at addr, `phase` bytes into a sequence of elements of the type. */
export function emitScanTyped(code: KernelCode, shade: Shade): Func {
  return code.m.func("scanTyped", ["addr", "n", "typ", "phase"], 1, ([addr, n, typ, phase]) => {
    const [size, ptrdata, mask, end, a] = code.m.locals();
    const [slot, slots, ptrSlots, p, marked, busy] = code.m.locals();
    return [
      when(typ.eqz(), [ret(n)]),
      size.set(typ.load(GCTYPE_AT.size)),
      ptrdata.set(typ.load(GCTYPE_AT.ptrdata)),
      mask.set(typ.load(GCTYPE_AT.maskAddr)),
      slots.set(size.shr(3)),
      ptrSlots.set(ptrdata.shr(3)),
      slot.set(phase.rem(size).shr(3)),
      busy.set(word(code.cycleWord).or(2)),
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
      addWord(code.work + GCWORK_AT.bytesMarked, marked),
      ret(n),
    ];
  });
}

/** Scans an entry of the stack: a whole object, or an oblet of a large one. */
export function emitScanStacked(code: KernelCode, push: Func, shadeOne: Func, scanTyped: Func): Func {
  return code.m.func("scanStacked", ["addr"], 1, ([addr]) => {
    const [span, base, end, n, size] = code.m.locals();
    const [off, a, marked] = code.m.locals();
    return [
      addWord(code.work + GCWORK_AT.objsStacked, 1),
      span.set(addr.shr(PAGE_SHIFT).shl(2).load(code.pageSpan)),
      code.countClass(GCWORK_AT.classStacked, span.load(MSPAN_AT.spanclass)),
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
          when(a.shr(HEAP_BITS_SHIFT).shl(2).load(code.heapBits).shr(a.shr(3)).and(1), [
            inc(marked, shadeOne.call(a.load())),
          ]),
          inc(off, 8),
        ],
        off.lt(size),
      ),
      addWord(code.work + GCWORK_AT.bytesMarked, marked),
      ret(size),
    ];
  });
}
