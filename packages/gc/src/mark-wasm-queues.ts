/**
 * The queues of the marking kernel: the ring of pages and the stack of addresses (mark-state.ts draws them). The
 * protocol of `parallel` is that of mark-parallel.ts.
 */
import {
  atomicStore,
  block,
  constant,
  drop,
  type Expr,
  type Func,
  type Local,
  loop,
  ret,
  type Stmt,
  store,
  when,
  zero8,
} from "@gort/memory/internal";
import {
  GCWORK_AT,
  MARK_AT,
  PAGE_BITS,
  SCAN_ROW_SHIFT,
  SCAN_ROW_WORDS,
  STACK_FULL,
  WORKBUF_HEADER,
  WORKBUF_MASK,
} from "./mark-state.ts";
import { type KernelCode, setWord, word } from "./mark-wasm-code.ts";

/** Adds an entry to the ring, which has room for all pages. */
function enqueue(code: KernelCode, page: Expr, idx: Expr): Stmt[] {
  const tail = code.m.local();
  return [
    tail.set(word(code.work + GCWORK_AT.qtail)),
    store(tail.and(code.ringMask).shl(2), page.or(idx.shl(PAGE_BITS)), code.ring),
    code.parallel
      ? atomicStore(0, tail.add(1), code.work + GCWORK_AT.qtail)
      : setWord(code.work + GCWORK_AT.qtail, tail.add(1)),
  ];
}

function clearScanRow(code: KernelCode, page: Expr): Stmt[] {
  const row = code.m.local();
  const words = Array.from({ length: SCAN_ROW_WORDS / 2 }, (_, k) => zero8(row, code.scanRows + 8 * k));
  return [row.set(page.shl(SCAN_ROW_SHIFT + 2)), ...words];
}

/** Queues a page for its object idx, or notes that several objects wait there. */
export function emitQueuePage(code: KernelCode): Func {
  return code.m.func("queuePage", ["page", "idx"], 0, ([page, idx]) => {
    const [cycle, old, at] = code.m.locals();
    const change = (from: Expr, to: Expr): Expr => at.atomicCas(from, to, code.pageState);
    return [
      cycle.set(word(code.cycleWord)),
      at.set(page.shl(2)),
      ...(code.parallel
        ? [
            loop((again) => [
              old.set(at.atomicLoad(code.pageState)),
              when(old.eq(cycle.or(2)), [ret()]),
              // The page is queued for one object, or about to be. Now several wait; the thread that queues or visits
              // it will see that.
              when(old.eq(cycle.or(1)).or(old.eq(cycle.or(3))), [
                again.branch(change(old, cycle.or(2)).ne(old)),
                ret(),
              ]),
              when(
                old.eq(cycle),
                [again.branch(change(cycle, cycle.or(1)).ne(cycle))],
                [
                  again.branch(change(old, cycle.or(3)).ne(old)),
                  ...clearScanRow(code, page),
                  drop(change(cycle.or(3), cycle.or(1))),
                ],
              ),
            ]),
          ]
        : [
            old.set(at.load(code.pageState)),
            when(old.eq(cycle.or(2)), [ret()]),
            when(old.eq(cycle.or(1)), [store(at, cycle.or(2), code.pageState), ret()]),
            when(old.ne(cycle), clearScanRow(code, page)),
            store(at, cycle.or(1), code.pageState),
          ]),
      ...enqueue(code, page, idx),
    ];
  });
}

/** Takes the ring's next entry into `entry` and runs `then`. If the ring is empty, the code behind it runs. */
export function dequeue(code: KernelCode, entry: Local, then: readonly Stmt[]): Stmt[] {
  const head = code.m.local();
  const take: Stmt[] = [entry.set(head.and(code.ringMask).shl(2).load(code.ring))];
  if (!code.parallel) {
    return [
      head.set(word(code.work + GCWORK_AT.qhead)),
      when(head.ne(word(code.work + GCWORK_AT.qtail)), [
        ...take,
        setWord(code.work + GCWORK_AT.qhead, head.add(1)),
        ...then,
      ]),
    ];
  }
  return [
    block((empty) => [
      loop((again) => [
        head.set(constant(0).atomicLoad(code.work + GCWORK_AT.qhead)),
        empty.branch(head.eq(word(code.work + GCWORK_AT.qtail))),
        ...take,
        again.branch(
          constant(0)
            .atomicCas(head, head.add(1), code.work + GCWORK_AT.qhead)
            .ne(head),
        ),
      ]),
      ...then,
    ]),
  ];
}

/** Puts an address on the stack. If there is no memory for it, it sets STACK_FULL. */
export function emitPush(code: KernelCode): Func {
  return code.m.func("push", ["addr"], 0, ([addr]) => {
    const sp = code.m.local();
    return [
      sp.set(word(code.work + GCWORK_AT.sp)),
      when(sp.and(WORKBUF_MASK).eqz(), [
        when(code.grow.call().eqz(), [
          drop(constant(0).atomicOr(STACK_FULL, code.mark + MARK_AT.overflow)),
          ret(),
        ]),
        sp.set(word(code.work + GCWORK_AT.sp)),
      ]),
      store(sp, addr),
      setWord(code.work + GCWORK_AT.sp, sp.add(4)),
    ];
  });
}

/** Takes the next address from the stack; 0 if it is empty. */
export function emitPop(code: KernelCode): Func {
  return code.m.func("pop", [], 1, () => {
    const sp = code.m.local();
    return [
      sp.set(word(code.work + GCWORK_AT.sp)),
      when(sp.and(WORKBUF_MASK).eq(WORKBUF_HEADER), [
        when(code.refill.call().eqz(), [ret(0)]),
        sp.set(word(code.work + GCWORK_AT.sp)),
      ]),
      sp.set(sp.sub(4)),
      setWord(code.work + GCWORK_AT.sp, sp),
      ret(sp.load()),
    ];
  });
}
