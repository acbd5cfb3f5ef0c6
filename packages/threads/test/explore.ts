/**
 * Runs the code of this package as several threads on one JavaScript thread, in every interleaving of their operations
 * on the linear memory, as atomics order them. A model gives the body of each thread; the bodies call the real code.
 *
 * How a thread is suspended. JavaScript cannot leave a function in the middle. But a body is a function of the results
 * of its operations. So the explorer keeps these results, and to make one more step it calls the body again: the body
 * gets the kept results, makes one new operation, and is left by an exception at the next one. Bodies so may not keep
 * state outside of the call. The results of all runs of a thread form a tree. A node of the tree stands for the local
 * state of the thread, and the body runs once for each new node only. Where the objects of the thread say all about
 * its local state (in its event loop, and at `mark`), nodes with equal objects are one.
 *
 * Which states are visited. Depth first; a state is what the memory holds, the node of each thread, and which threads
 * and callbacks wait where. A state that was visited before is not visited again (by a hash of 64 bits). A state that
 * follows from itself is an error: the threads could go on without end.
 *
 * Which operations are steps. An operation is not a step of its own, but part of the step before it, if no order of it
 * and the operations of other threads makes a difference:
 *
 *     words that one thread uses, or that no thread writes
 *     words that all threads use under one lock (S. Savage et al., "Eraser", 1997), and the release of that lock
 *     from the third on: loads that repeat the two loads before them, as spinning does, with the same result
 *
 * Which words these are shows in the runs themselves. If a run uses a word in another way, the exploration begins again
 * with that word visible. At the end the assumption holds in all runs, so nothing was left out (R. J. Lipton,
 * "Reduction", 1975).
 *
 * Waits have no time limit here: a wake-up that is lost, and that a time limit would repair, is an error. `notify`
 * wakes all that wait. Callbacks of an event loop run in any order. Locks of memory are taken in one step.
 *
 * A thread of `Model.mortal` may end before each of its steps, but not while it holds a lock. Then the waits of the
 * others do have a time limit, and `threadGone` says that it has ended.
 */
import { createLinearMemory, type LinearMemory } from "@gort/memory";
import { Call, type Op, type Steps, type Thread } from "./explore-call.ts";
import { DONE, Keys, mix, OPEN } from "./explore-keys.ts";

export type { Thread } from "./explore-call.ts";

/** A state in which no thread can make a step. */
export interface End {
  readonly mem: LinearMemory;
  /** By thread. */
  readonly notes: readonly (readonly unknown[])[];
}

export interface Model {
  readonly bodies: readonly ((t: Thread) => void)[];
  /** Throws if the end of a run is wrong. Blocked threads are an error without it. */
  end?(end: End): void;
  /** Name of a word, for schedules. */
  name?(mem: LinearMemory, addr: number): string;
  /** Results that `host.random` may have: 0 to random - 1. Default 1. */
  readonly random?: number;
  /**
   * Address of a word to which threads add, and of which only the difference of two loads in one callback matters.
   * Runs that differ only in its value meet again.
   */
  counter?(mem: LinearMemory): number;
  /** Names of fields of the threads' objects that matter only while a callback runs. */
  readonly shortLived?: readonly string[];
  /** Threads that may end before any of their steps. */
  readonly mortal?: readonly number[];
  /** The exploration ends at so many states, and says so. Default 5 million. */
  readonly maxStates?: number;
  /** A run of more steps is an error: it has no end. Default 1000. */
  readonly maxSteps?: number;
}

export interface Explored {
  readonly states: number;
  /** States in which no thread can make a step. */
  readonly ends: number;
  /** Whether all states were visited. */
  readonly complete: boolean;
}

/** The state of a thread before an operation. */
interface Node {
  readonly id: number;
  /** The node before, and the result of its operation. */
  readonly parent: Node | null;
  readonly result: number;
  readonly op: Op;
  readonly error: unknown;
  readonly notes: readonly unknown[];
  readonly next: Map<number, Node>;
}

/** A callback that waits for a notify of a word. */
interface Waiter {
  readonly thread: number;
  readonly addr: number;
  readonly callback: number;
}

/** `waits` of a thread that blocks no longer; otherwise the address. */
const AWAKE = 0;
const NOTIFIED = 1;

const ARENA_BYTES = 1 << 18;
const MAX_STATES = 5_000_000;
const MAX_STEPS = 1000;
/** Steps of a schedule that are printed at most: the last ones. */
const MAX_LINES = 2000;

/** How the threads use a word. */
interface Use {
  threads: number;
  written: boolean;
  /** Bits of the locks that were held at each use. */
  locks: number;
}

class Explorer implements Steps {
  readonly mem: LinearMemory;
  readonly random: number;
  readonly shortLived: readonly string[];
  readonly mortals: boolean;
  readonly root: number;
  readonly cursor: number;
  readonly threadNumbers: number;
  readonly clock: number;
  ends = 0;
  private readonly model: Model;
  private readonly i32: Int32Array;
  private readonly states = new Keys();
  private readonly maxStates: number;
  private readonly maxSteps: number;

  // ---- the current state
  private readonly nodes: Node[] = [];
  private readonly waits: number[] = [];
  private readonly ready: (readonly number[])[] = [];
  private waiters: readonly Waiter[] = [];
  /** The word `Model.counter`, what was added to it, and the sum at the first load in the callback of each thread. */
  private counter = 0;
  private counted = 0;
  private readonly bases: (number | null)[] = [];
  private high = 0;
  private low = 0;
  private readonly undo: number[] = [];
  /** Steps from the start: thread, node before the step, result. */
  private readonly path: { thread: number; node: Node; result: number; dies: boolean }[] = [];
  /** The node of each thread that has ended. */
  private readonly dead: Node[] = [];

  // ---- the body that runs
  private last: Node | null = null;
  private lastResult = 0;
  private running = -1;
  private preparing = true;
  private made: Node | null = null;

  // ---- what all runs have shown
  private nnodes = 0;
  /** Nodes by what describes the state of their thread. */
  private readonly byState = new Map<string, Node>();
  private printed = "";
  private readonly texts = new Map<string, number>();
  /** A word is visible that was not: what was explored so far is not all. */
  private newWord = false;
  private readonly visible: Set<number>;
  private readonly uses = new Map<number, Use>();
  private readonly lockBits = new Map<number, number>();
  /** Locks that each thread holds, as bits. */
  private readonly held: number[] = [];

  constructor(model: Model, mem: LinearMemory, arena: number, visible: Set<number>) {
    this.model = model;
    this.mem = mem;
    this.i32 = mem.i32;
    this.root = arena;
    this.cursor = arena + 4;
    this.threadNumbers = arena + 8;
    this.clock = arena + 16;
    this.visible = visible;
    this.random = model.random ?? 1;
    this.shortLived = model.shortLived ?? [];
    this.mortals = model.mortal !== undefined;
    this.maxStates = model.maxStates ?? MAX_STATES;
    this.maxSteps = model.maxSteps ?? MAX_STEPS;
    mem.kernel.zero(arena, ARENA_BYTES);
    mem.i32[this.cursor >>> 2] = arena + 64;
  }

  /** Null: the exploration has to begin again, since a word is visible that was not. */
  explore(): Explored | null {
    const { bodies } = this.model;
    for (let i = 0; i < bodies.length; i++) {
      this.waits[i] = AWAKE;
      this.ready[i] = [];
      this.bases[i] = null;
      this.held[i] = 0;
      this.call(i, null, 0);
      const op: Op = { kind: "dead", addr: 0, a: 0, b: 0 };
      this.dead[i] = { id: -1 - i, parent: null, result: 0, op, error: null, notes: [], next: new Map() };
    }
    while (this.nodes.some((n) => n.op.kind === "phase")) {
      for (let i = 0; i < bodies.length; i++) if (this.nodes[i].op.kind === "phase") this.advance(i, 0);
    }
    for (const [i, n] of this.nodes.entries()) {
      if (n.op.kind !== "begin") this.fail(`M ${i} does not end its preparation`, n.error);
    }
    this.preparing = false;
    this.counter = this.model.counter?.(this.view()) ?? 0;
    for (let i = 0; i < bodies.length; i++) this.advance(i, 0);
    const complete = this.visit();
    if (this.newWord) return null;
    return { states: this.states.size, ends: this.ends, complete };
  }

  // ---- states

  /** Visits the current state and all that follow. False if the bound is reached, or all has to begin again. */
  private visit(): boolean {
    if (this.newWord) return false;
    const { high, low } = this.key();
    const known = this.states.get(high, low);
    if (known === OPEN) this.fail("the threads can go on without end: this state was there before");
    if (known === DONE) return true;
    if (this.states.size >= this.maxStates) return false;
    if (this.path.length > this.maxSteps) this.fail(`a run has more than ${this.maxSteps} steps`);
    this.states.set(high, low, OPEN);
    let steps = 0;
    for (let i = 0; i < this.nodes.length; i++) {
      const { op } = this.nodes[i];
      if (op.kind === "error") this.fail(`M ${i} throws`, this.nodes[i].error);
      if (op.kind === "turn") {
        for (const callback of new Set(this.ready[i])) {
          steps++;
          if (!this.step(i, callback)) return false;
        }
      } else if (op.kind === "choose") {
        for (let k = 0; k < op.a; k++) {
          steps++;
          if (!this.step(i, k)) return false;
        }
      } else if (this.enabled(i, op)) {
        steps++;
        if (!this.step(i, 0)) return false;
      }
    }
    if (steps === 0) this.end();
    for (const i of this.model.mortal ?? []) {
      const { kind } = this.nodes[i].op;
      if (kind !== "dead" && this.held[i] === 0 && !this.step(i, 0, true)) return false;
    }
    this.states.set(high, low, DONE);
    return true;
  }

  private enabled(i: number, op: Op): boolean {
    if (op.kind === "lock") return this.i32[op.addr >>> 2] === 0;
    if (op.kind === "wait") return this.waits[i] <= NOTIFIED || this.nodes.some((n) => n.op.kind === "dead");
    return op.kind !== "dead";
  }

  private key(): { high: number; low: number } {
    let { high, low } = this;
    const put = (x: number, k: number): void => {
      high = mix(high, x, 0x1234567 + k);
      low = mix(low, x, 0x7654321 + k);
    };
    for (let i = 0; i < this.nodes.length; i++) {
      put(this.nodes[i].id, i);
      put(this.waits[i], 32 + i);
      for (const callback of this.ready[i]) put(callback, 64 + i);
      const base = this.bases[i];
      if (base !== null) put(this.counted - base, 128 + i);
    }
    for (const w of this.waiters) put(mix(w.addr, w.callback, w.thread), 96);
    return { high: high >>> 0, low: low >>> 0 };
  }

  /** Thread i makes a step, or ends; all states after it are visited; then the step is undone. */
  private step(i: number, choice: number, dies = false): boolean {
    const node = this.nodes[i];
    const wait = this.waits[i];
    const ready = this.ready.slice();
    const waits = this.waits.slice();
    const bases = this.bases.slice();
    const { waiters, high, low, counted } = this;
    const mark = this.undo.length;
    const lock = this.held[i];
    this.path.push({ thread: i, node, result: choice, dies });
    if (dies) {
      this.nodes[i] = this.dead[i];
      this.ready[i] = [];
      this.waits[i] = AWAKE;
      this.bases[i] = null;
      this.waiters = waiters.filter((w) => w.thread !== i);
    } else if (node.op.kind === "wait" && wait === AWAKE && this.i32[node.op.addr >>> 2] === node.op.a) {
      this.waits[i] = node.op.addr;
    } else {
      this.waits[i] = AWAKE;
      this.advance(i, choice);
    }
    const go = this.visit();
    this.path.pop();
    while (this.undo.length > mark) {
      const old = this.undo.pop()!;
      this.i32[this.undo.pop()!] = old;
    }
    this.held[i] = lock;
    this.nodes[i] = node;
    for (let k = 0; k < ready.length; k++) {
      this.ready[k] = ready[k];
      this.waits[k] = waits[k];
      this.bases[k] = bases[k];
    }
    this.counted = counted;
    this.waiters = waiters;
    this.high = high;
    this.low = low;
    return go;
  }

  private end(): void {
    this.ends++;
    for (const [i, { op }] of this.nodes.entries()) {
      if (op.kind !== "turn" && op.kind !== "dead") this.fail(`M ${i} blocks for ever: ${this.describe(op)}`);
    }
    try {
      this.model.end?.({ mem: this.view(), notes: this.nodes.map((n) => n.notes) });
    } catch (error) {
      this.fail("the end is wrong", error);
    }
  }

  /** The memory, for checks that are no part of a run. */
  private view(): LinearMemory {
    return Object.create(this.mem, {
      root: { value: () => this.mem.u32[this.root >>> 2] },
    }) as LinearMemory;
  }

  // ---- threads

  /** Thread i makes the operation before which it stands, and all that belong to the same step. */
  private advance(i: number, choice: number): void {
    let node = this.nodes[i];
    let result = this.make(i, node.op, choice);
    const { path } = this;
    if (path.length > 0) path[path.length - 1].result = result;
    for (;;) {
      const next = node.next.get(result);
      if (next === undefined) break;
      this.nodes[i] = node = next;
      if (!this.belongs(next.op)) return;
      result = this.make(i, next.op, 0);
    }
    this.call(i, node, result);
  }

  /** Calls the body of thread i anew, up to the first operation that is a step of its own. */
  private call(i: number, node: Node | null, result: number): void {
    const results = node === null ? [] : [...resultsTo(node), result];
    this.last = node;
    this.lastResult = result;
    this.running = i;
    this.made = null;
    const call = new Call(this, i, results, false);
    call.run(this.model.bodies[i]);
    this.nodes[i] = this.made!;
  }

  live(call: Call, op: Op): number | null {
    const node = this.add(call, op, null);
    if (!this.belongs(op)) return null;
    this.last = node;
    return (this.lastResult = this.make(this.running, op, 0));
  }

  failed(call: Call, error: unknown): void {
    this.add(call, { kind: "error", addr: 0, a: 0, b: 0 }, error);
  }

  private add(call: Call, op: Op, error: unknown): Node {
    const { last: parent, running: i } = this;
    const known = parent?.next.get(this.lastResult) ?? this.equal(call, op);
    if (known !== undefined) {
      parent?.next.set(this.lastResult, known);
      return (this.made = known);
    }
    const notes = parent?.notes.length === call.notes.length ? parent.notes : call.notes.slice();
    const id = ++this.nnodes;
    const node: Node = { id, parent, result: this.lastResult, op, error, notes, next: new Map() };
    parent?.next.set(this.lastResult, node);
    if (!this.preparing) this.use(i, op);
    if (this.printed !== "") this.byState.set(this.printed, node);
    return (this.made = node);
  }

  /** A node of equal state. */
  private equal(call: Call, { kind, a }: Op): Node | undefined {
    const printed = !this.preparing && (kind === "turn" || kind === "mark");
    this.printed = printed ? `${this.running} ${kind} ${a} ${call.fingerprint()}` : "";
    return printed ? this.byState.get(this.printed) : undefined;
  }

  textNumber(text: string): number {
    const n = this.texts.get(text) ?? this.texts.size;
    this.texts.set(text, n);
    return n;
  }

  /** Whether the operation belongs to the step before it. */
  private belongs(op: Op): boolean {
    switch (op.kind) {
      case "phase":
      case "begin":
      case "error":
      case "turn":
      case "choose":
      case "gone":
        return false;
      case "unlock":
      case "task":
      case "mark":
      case "peek":
      case "count":
        return true;
      case "lock":
      case "wait":
      case "notify":
      case "waitAsync":
        return this.preparing;
      default:
        return this.preparing || !this.visible.has(op.addr);
    }
  }

  /** Notes that thread i uses the word of an operation. */
  private use(i: number, op: Op): void {
    if (op.kind === "peek" || op.kind === "count" || op.kind === "lock" || op.kind === "unlock") return;
    if (op.addr === 0 || this.visible.has(op.addr)) return;
    const use = this.uses.get(op.addr) ?? { threads: 0, written: false, locks: -1 };
    this.uses.set(op.addr, use);
    use.threads |= 1 << i;
    use.written ||= op.kind !== "load" && op.kind !== "read" && op.kind !== "readF64";
    use.locks &= this.held[i];
    const alone = (use.threads & (use.threads - 1)) === 0;
    if (alone || !use.written || use.locks !== 0) return;
    this.visible.add(op.addr);
    this.newWord = true;
  }

  // ---- operations

  private set(addr: number, value: number): void {
    const k = addr >>> 2;
    const old = this.i32[k];
    if (old === value) return;
    this.undo.push(k, old);
    this.i32[k] = value;
    this.high ^= mix(k, old, 0x51ed270b) ^ mix(k, value, 0x51ed270b);
    this.low ^= mix(k, old, 0x2545f491) ^ mix(k, value, 0x2545f491);
  }

  private make(i: number, op: Op, choice: number): number {
    const { addr, a, b } = op;
    if (addr !== 0 && addr === this.counter) return this.count(i, op);
    const old = this.i32[addr >>> 2];
    switch (op.kind) {
      case "load":
      case "read":
      case "peek":
        return old;
      case "store":
      case "write":
        this.set(addr, a);
        return 0;
      case "xchg":
        this.set(addr, a);
        return old;
      case "cas":
        if (old === a) this.set(addr, b);
        return old;
      case "add":
      case "count":
        this.set(addr, (old + a) | 0);
        return old;
      case "and":
        this.set(addr, old & a);
        return old;
      case "or":
        this.set(addr, old | a);
        return old;
      case "readF64":
        return this.mem.f64[addr >>> 3];
      case "writeF64": {
        const words = new Int32Array(new Float64Array([a]).buffer);
        this.set(addr, words[0]);
        this.set(addr + 4, words[1]);
        return 0;
      }
      default:
        return this.makeOther(i, op, choice);
    }
  }

  private count(i: number, { kind, a }: Op): number {
    if (kind === "load") return this.counted - (this.bases[i] ??= this.counted);
    if (kind !== "add") throw new Error(`M ${i} uses a counter by ${kind}`);
    this.counted += a;
    return 0;
  }

  private makeOther(i: number, op: Op, choice: number): number {
    const { addr, a, b } = op;
    switch (op.kind) {
      case "lock":
        if (this.i32[addr >>> 2] !== 0)
          throw new Error(`M ${i} takes a lock that is held in the preparation`);
        this.set(addr, a);
        this.held[i] |= this.lockBit(addr);
        return 0;
      case "unlock":
        this.set(addr, 0);
        this.held[i] &= ~this.lockBit(addr);
        return 0;
      case "wait":
        if (this.preparing) throw new Error(`M ${i} blocks in the preparation`);
        return 0;
      case "notify":
        for (let k = 0; k < this.waits.length; k++) if (this.waits[k] === addr) this.waits[k] = NOTIFIED;
        for (const w of this.waiters) {
          if (w.addr === addr) this.addReady(w.thread, w.callback);
        }
        if (this.waiters.some((w) => w.addr === addr))
          this.waiters = this.waiters.filter((w) => w.addr !== addr);
        return 0;
      case "waitAsync":
        if (this.i32[addr >>> 2] !== a) return 0;
        this.waiters = [...this.waiters, { thread: i, addr, callback: b }].sort(
          (x, y) => x.thread - y.thread,
        );
        return 1;
      case "task":
        this.addReady(i, a);
        return 0;
      case "gone":
        return this.nodes[a].op.kind === "dead" ? 1 : 0;
      case "mark":
        this.bases[i] = null;
        return 0;
      case "turn":
        this.bases[i] = null;
        this.ready[i] = this.ready[i].toSpliced(this.ready[i].indexOf(choice), 1);
        return choice;
      default:
        return choice;
    }
  }

  private addReady(i: number, callback: number): void {
    this.ready[i] = [...this.ready[i], callback].sort((x, y) => x - y);
  }

  private lockBit(addr: number): number {
    let bit = this.lockBits.get(addr);
    if (bit === undefined) {
      if (this.lockBits.size === 31) throw new Error("explore: more than 31 locks");
      bit = 1 << this.lockBits.size;
      this.lockBits.set(addr, bit);
    }
    return bit;
  }

  // ---- schedules

  private fail(what: string, error: unknown = null): never {
    const lines = this.path.slice(-MAX_LINES).map(({ thread, node, result, dies }) => {
      if (dies) return `  M ${thread}  ends`;
      const call = new Call(this, thread, resultsTo(node), true);
      call.run(this.model.bodies[thread]);
      return `  M ${thread}  ${this.describe(node.op)}: ${result}  ${call.place}`;
    });
    const cause = error instanceof Error ? `: ${error.message}` : "";
    throw new Error(`${what}${cause}\nafter\n${lines.join("\n")}`, { cause: error });
  }

  private describe({ kind, addr, a, b }: Op): string {
    const where = addr === 0 ? "" : ` ${this.model.name?.(this.view(), addr) ?? `0x${addr.toString(16)}`}`;
    if (kind === "cas") return `cas${where} ${a} -> ${b}`;
    const plain = kind === "load" || kind === "read" || kind === "readF64" || kind === "unlock";
    return plain || kind === "turn" || kind === "notify" ? `${kind}${where}` : `${kind}${where} ${a}`;
  }
}

function resultsTo(node: Node): number[] {
  const results: number[] = [];
  for (let n = node; n.parent !== null; n = n.parent) results.push(n.result);
  return results.reverse();
}

/**
 * Tries all interleavings. Throws an Error with the schedule if a thread throws, blocks for ever or never ends, or if
 * `end` throws.
 */
export function explore(model: Model): Explored {
  const mem = createLinearMemory({ maxMemory: 64 << 20 });
  const arena = mem.persistentAlloc(ARENA_BYTES, 64, "otherSys");
  const visible = new Set<number>();
  for (;;) {
    const found = new Explorer(model, mem, arena, visible).explore();
    if (found === null) continue;
    if (!found.complete) console.warn(`explore: ended at the bound of ${found.states} states`);
    return found;
  }
}
