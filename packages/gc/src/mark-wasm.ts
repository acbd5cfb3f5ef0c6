/**
 * The WebAssembly twin of the marker's hot part: the functions of mark-js.ts under the same names, over the same words,
 * in the assembler of @gort/memory. It takes 0.6 of the time in allocation order and 0.75 in random order: it has no
 * bounds checks, and finds a bit with one instruction.
 *
 * Each thread assembles its own module when it first drains (4 KB, 1.5 to 2.5 milliseconds, a function at a time). So
 * every table and every word of its GCWORK is a constant in the code. The host does what is rare: it manages lists of
 * workbufs and reports bad pointers.
 *
 * With `parallel`, the same code serves several threads at once (protocol: mark-parallel.ts): some loads and stores are
 * atomic instructions then.
 *
 *     mark-wasm-code.ts    what all parts share     mark-wasm-scan.ts   shading and scanning
 *     mark-wasm-queues.ts  ring and stack           mark-wasm.ts        the functions in order, and the host's side
 */
import { type Func, loop, ret, wasmHost, when } from "@gort/memory/internal";
import type { MarkState } from "./mark-state.ts";
import { checkPointer, type MarkTwin } from "./mark-twin.ts";
import { inc, KernelCode } from "./mark-wasm-code.ts";
import { dequeue, emitPop, emitPush, emitQueuePage } from "./mark-wasm-queues.ts";
import {
  emitScanAlone,
  emitScanPage,
  emitScanStacked,
  emitScanTyped,
  emitShadeOne,
  emitShadeSlow,
  emitUnscanned,
  emitVisitPage,
  makeShade,
  type PageScanners,
} from "./mark-wasm-scan.ts";
import type { WorkBufs } from "./mgcwork.ts";

/**
 * Assembles the module for the thread of GCWORK `work` and returns its bytes. It yields after each function, since all
 * at once would be a pause of 1.5 to 2.5 milliseconds.
 */
function* assembly(
  state: MarkState,
  work: number,
  parallel: boolean,
): Generator<undefined, Uint8Array<ArrayBuffer>, undefined> {
  const code = new KernelCode(state, work, parallel);
  const queuePage = emitQueuePage(code);
  yield;
  const push = emitPush(code);
  yield;
  const pop = emitPop(code);
  yield;
  const shade = makeShade(code, queuePage, emitShadeSlow(code, push));
  yield;
  const shadeOne = emitShadeOne(code, shade);
  yield;
  const alone = emitScanAlone(code, shade);
  yield;
  const aligned = emitScanPage(code, "scanAligned", false, shade);
  yield;
  const straddling = emitScanPage(code, "scanStraddling", true, shade);
  yield;
  const scanners: PageScanners = { alone, aligned, straddling, unscanned: emitUnscanned(code) };
  yield;
  const visitPage = emitVisitPage(code, scanners);
  yield;
  const scanTyped = emitScanTyped(code, shade);
  yield;
  const scanStacked = emitScanStacked(code, push, shadeOne, scanTyped);
  yield;
  emitDrain(code, visitPage, pop, scanStacked);
  yield;
  return code.m.bytes();
}

/** The kernel's entry: scans until about `budget` bytes are scanned or nothing is grey. */
function emitDrain(code: KernelCode, visitPage: Func, pop: Func, scanStacked: Func): void {
  code.m.func("drain", ["budget"], 1, ([budget]) => {
    const [done, entry, addr] = code.m.locals();
    return [
      loop((again) => [
        ...dequeue(code, entry, [inc(done, visitPage.call(entry)), again.branch(done.lt(budget)), ret(done)]),
        addr.set(pop.call()),
        when(addr, [inc(done, scanStacked.call(addr)), again.branch(done.lt(budget))]),
      ]),
      ret(done),
    ];
  });
}

/** The kernel that drains for the thread of GCWORK `work`. Throws the host's error if the host cannot compile it. */
export function markWasm(state: MarkState, bufs: WorkBufs, work: number, parallel = false): MarkTwin {
  const steps = markWasmSteps(state, bufs, work, parallel);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The same in steps, one for each function, for a caller that must not keep the program waiting. */
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
