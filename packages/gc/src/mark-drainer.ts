/**
 * Which twin drains for a thread. A thread has two drainers: one for marking alone, and one for marking beside other
 * threads, whose twins use atomic operations. Each begins with TypeScript. When it has scanned enough, it assembles the
 * kernel and goes on with that. The host may refuse the kernel: then TypeScript goes on.
 */
import type { MarkState } from "./mark-state.ts";
import type { MarkTwin } from "./mark-twin.ts";
import { markWasmSteps } from "./mark-wasm.ts";
import type { WorkBufs } from "./mgcwork.ts";

/** Which twin drains. */
export type MarkerKind = "wasm" | "js";

/** Most bytes of scan work in one call of a twin, so that its counts stay small integers. */
const MAX_DRAIN = 2 ** 30;

/**
 * Bytes that the TypeScript twin scans before a module is assembled, unless the caller asked for the kernel. A small
 * program does without it.
 */
const WASM_AFTER = 1 << 20;

export class Drainer {
  readonly #state: MarkState;
  readonly #bufs: WorkBufs;
  readonly #work: number;
  readonly #js: MarkTwin;
  readonly #parallel: boolean;
  readonly #assembleAtOnce: boolean;
  readonly #onFallback: (err: unknown) => void;
  #twin: MarkTwin;
  /** Bytes to scan until the WebAssembly twin takes over. */
  #untilWasm: number;
  /**
   * The WebAssembly twin while it is assembled. Each drain does a step, as all at once would keep the program waiting
   * for long.
   */
  #assembly: ReturnType<typeof markWasmSteps> | null = null;

  /**
   * @param kind without it the WebAssembly twin takes over when there is enough work for it, if the memory's kernel is
   * WebAssembly: a host that refuses one of the modules refuses the other
   * @param onFallback called once if the host refuses the WebAssembly twin
   */
  constructor(
    of: { state: MarkState; bufs: WorkBufs; work: number },
    js: MarkTwin,
    parallel: boolean,
    kind: MarkerKind | undefined,
    onFallback: (err: unknown) => void,
  ) {
    this.#state = of.state;
    this.#bufs = of.bufs;
    this.#work = of.work;
    this.#js = js;
    this.#parallel = parallel;
    this.#twin = js;
    this.#onFallback = onFallback;
    this.#untilWasm =
      (kind ?? of.state.mem.kernel.kind) === "js"
        ? Number.POSITIVE_INFINITY
        : kind === "wasm"
          ? 0
          : WASM_AFTER;
    this.#assembleAtOnce = kind === "wasm";
  }

  /** Which twin drains. */
  get kind(): MarkerKind {
    return this.#twin === this.#js ? "js" : "wasm";
  }

  /**
   * Takes a step towards the WebAssembly twin, or all of them if the caller asked for that twin. A host may refuse the
   * module (a security policy, no memory left), even in the middle of a cycle: the other twin goes on.
   */
  #assemble(): void {
    try {
      this.#assembleStep();
    } catch (err) {
      this.#assembly = null;
      this.#untilWasm = Number.POSITIVE_INFINITY;
      this.#onFallback(err);
    }
  }

  #assembleStep(): void {
    this.#assembly ??= markWasmSteps(this.#state, this.#bufs, this.#work, this.#parallel);
    let step = this.#assembly.next();
    while (this.#assembleAtOnce && step.done !== true) step = this.#assembly.next();
    if (step.done !== true) return;
    this.#twin = step.value;
    this.#untilWasm = Number.POSITIVE_INFINITY;
    this.#assembly = null;
  }

  /** Scans until about `budget` bytes are scanned or the thread finds no grey object; returns the bytes scanned. */
  drain(budget: number): number {
    if (this.#untilWasm <= 0) this.#assemble();
    const work = this.#twin.drain(Math.ceil(Math.min(budget, MAX_DRAIN)));
    this.#untilWasm -= work;
    return work;
  }
}
