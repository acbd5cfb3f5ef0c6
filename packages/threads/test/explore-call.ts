/** One call of a body by the explorer (explore.ts): what the body sees as its memory and its host. */
import type { Addr, LinearMemory } from "@gort/memory";
import type { ThreadHost } from "../src/index.ts";

/** What a body has. */
export interface Thread {
  readonly mem: LinearMemory;
  readonly host: ThreadHost;
  /** Ends a part of the preparation, in which the threads run one after the other, in their order. */
  phase(): void;
  /** Ends the preparation: from here on, all interleavings are tried. */
  begin(): void;
  /** Zeroed memory that belongs to the model. */
  alloc(bytes: number): Addr;
  /** Moves the time of all threads. */
  advance(ms: number): void;
  /** Any number below n. A step of its own, also for 1. */
  choose(n: number): number;
  /** Reads a word of the model, in one step with the operation before. */
  peek(addr: number): number;
  /** Adds to a word of the model, in one step with the operation before. Returns the previous value. */
  count(addr: number, n?: number): number;
  /** Keeps something for `end`. */
  note(what: unknown): void;
  /**
   * An object that holds state of this thread. All state has to be in such objects when the body returns to the event
   * loop. Callbacks of equal source text have to be one function.
   */
  state(object: object): void;
  /** All that the body does from here on follows from the objects of `state` and from `where`. */
  mark(where: number): void;
}

export type Kind =
  | "load"
  | "store"
  | "cas"
  | "xchg"
  | "add"
  | "and"
  | "or"
  | "read"
  | "write"
  | "readF64"
  | "writeF64"
  | "lock"
  | "unlock"
  | "wait"
  | "notify"
  | "waitAsync"
  | "task"
  | "turn"
  | "choose"
  | "peek"
  | "count"
  | "phase"
  | "begin"
  | "mark"
  | "gone"
  | "dead"
  | "error";

export interface Op {
  readonly kind: Kind;
  readonly addr: number;
  readonly a: number;
  readonly b: number;
}

/** Operations of one step, and loads of one word in succession, that are taken for a loop without end. */
const MAX_LOOP = 10_000;
class Cut extends Error {}
const CUT = new Cut("the body is left");

/** What a call needs of the explorer. */
export interface Steps {
  readonly mem: LinearMemory;
  /** See Model. */
  readonly random: number;
  readonly shortLived: readonly string[];
  /** Whether threads may end. */
  readonly mortals: boolean;
  /** Addresses: the root of the threads, the end of the memory that is used, threads registered, the time. */
  readonly root: number;
  readonly cursor: number;
  readonly threadNumbers: number;
  readonly clock: number;
  /** The body makes a new operation. Null: the operation is a step of its own. */
  live(call: Call, op: Op): number | null;
  /** The body has thrown. */
  failed(call: Call, error: unknown): void;
  /** A number for the source text of a function. */
  textNumber(text: string): number;
}

/** One call of a body. */
export class Call implements Thread {
  readonly mem: LinearMemory;
  readonly host: ThreadHost;
  readonly notes: unknown[] = [];
  /** By number of their text. */
  readonly callbacks = new Map<number, () => void>();
  readonly states: object[] = [];
  /** Where the operation after those with a kept result is made. Only if that is all that the call is for. */
  place: string | null;
  private readonly x: Steps;
  private readonly thread: number;
  private readonly results: readonly number[];
  private at = 0;
  /** New operations. */
  private made = 0;
  private done = false;
  /** Loads of one word with one result in succession. */
  private loads = 0;
  private loadAddr = 0;
  private loaded = 0;

  constructor(x: Steps, thread: number, results: readonly number[], trace: boolean) {
    this.x = x;
    this.thread = thread;
    this.results = results;
    this.place = trace ? "" : null;
    this.mem = this.memory();
    this.host = this.threadHost();
  }

  run(body: (t: Thread) => void): void {
    try {
      body(this);
      for (;;) this.callbacks.get(this.op("turn", 0))!();
    } catch (error) {
      // After the cut, any error is a consequence of it.
      if (!this.done && this.place === null) this.x.failed(this, error);
    }
  }

  op(kind: Kind, addr: number, a = 0, b = 0): number {
    if (this.done) throw CUT;
    const load = kind === "load";
    if (load && this.loads >= 2 && this.loadAddr === addr) {
      if (++this.loads > MAX_LOOP) throw new Error(`more than ${MAX_LOOP} loads of one word`);
      return this.loaded;
    }
    let result: number;
    if (this.at < this.results.length) {
      result = this.results[this.at++];
    } else {
      if (++this.made > MAX_LOOP) throw new Error(`more than ${MAX_LOOP} operations in one step`);
      if (this.place !== null) this.place = placeOf(new Error().stack ?? "");
      const made = this.place === null ? this.x.live(this, { kind, addr, a, b }) : null;
      if (made === null) {
        this.done = true;
        throw CUT;
      }
      result = made;
    }
    if (load) {
      this.loads = this.loads > 0 && this.loadAddr === addr && this.loaded === result ? this.loads + 1 : 1;
      this.loadAddr = addr;
      this.loaded = result;
    } else {
      this.loads = 0;
    }
    return result;
  }

  phase(): void {
    this.op("phase", 0);
  }
  begin(): void {
    this.op("begin", 0);
  }
  alloc(bytes: number): Addr {
    const { x } = this;
    return this.op("count", x.cursor, (bytes + 63) & ~63) as Addr;
  }
  choose(n: number): number {
    return this.op("choose", 0, n);
  }
  advance(ms: number): void {
    const { clock } = this.x;
    this.op("writeF64", clock, this.op("readF64", clock) + ms);
  }
  peek(addr: number): number {
    return this.op("peek", addr);
  }
  count(addr: number, n = 1): number {
    return this.op("count", addr, n);
  }
  note(what: unknown): void {
    this.notes.push(what);
  }

  state(object: object): void {
    this.states.push(object);
  }
  mark(where: number): void {
    this.op("mark", 0, where);
  }

  /** Describes all state of the thread, if the body has left it in objects. */
  fingerprint(): string {
    const { mem, host } = this;
    const known = new Map<object, string>();
    for (const x of [mem, host, mem.kernel, mem.u32, mem.i32, mem.f64]) known.set(x, "");
    return print([this.states, this.notes, [...this.callbacks.keys()].sort()], known, this.x.shortLived);
  }

  private callback(f: () => void): number {
    const id = this.x.textNumber(f.toString());
    const other = this.callbacks.get(id);
    if (other !== undefined && other !== f) throw new Error(`two callbacks have one text: ${f.toString()}`);
    this.callbacks.set(id, f);
    return id;
  }

  private memory(): LinearMemory {
    const { x } = this;
    const op = this.op.bind(this);
    const read = (addr: number): number => op("read", addr) >>> 0;
    const write = (addr: number, value: number): void => void op("write", addr, value | 0);
    const kernel = {
      ...x.mem.kernel,
      load: (addr: number) => op("load", addr),
      store: (addr: number, value: number) => void op("store", addr, value | 0),
      add: (addr: number, value: number) => op("add", addr, value),
      and: (addr: number, value: number) => op("and", addr, value),
      or: (addr: number, value: number) => op("or", addr, value),
      xchg: (addr: number, value: number) => op("xchg", addr, value | 0),
      cas: (addr: number, expected: number, value: number) => op("cas", addr, expected | 0, value | 0),
    };
    const thread = this.thread + 1;
    return Object.create(x.mem, {
      kernel: { value: kernel },
      u32: { value: wordsOf(x.mem.u32, 4, read, write) },
      f64: {
        value: wordsOf(
          x.mem.f64,
          8,
          (addr) => op("readF64", addr),
          (addr, value) => void op("writeF64", addr, value),
        ),
      },
      thread: { value: thread },
      member: { value: { lockWord: thread << 1, thread } },
      lockOps: {
        value: {
          acquire: (addr: number, _: number, word: number) => op("lock", addr, word),
          release(addr: number, word: number) {
            op("unlock", addr);
            return word;
          },
          acquired() {},
          blocking() {},
        },
      },
      root: { value: () => read(x.root) },
      setRoot: { value: (_: number, value: number) => write(x.root, value) },
      persistentAlloc: { value: (bytes: number) => this.alloc(bytes) },
      registerThread: { value: () => op("count", x.threadNumbers, 1) + 2 },
      threadExited: { value: () => {} },
      rankLocks: { value: () => {} },
      threadGone: { value: (thread: number) => x.mortals && op("gone", 0, thread - 1) === 1 },
    }) as LinearMemory;
  }

  private threadHost(): ThreadHost {
    const { x } = this;
    const op = this.op.bind(this);
    return {
      wait(_, index, value) {
        op("wait", index << 2, value);
        return true;
      },
      notify: (_, index) => void op("notify", index << 2),
      waitAsync: (_, index, value, f) => op("waitAsync", index << 2, value, this.callback(f)) === 1,
      task: (f) => void op("task", 0, this.callback(f)),
      now: () => op("readF64", x.clock),
      random: () => (x.random === 1 ? 0 : this.choose(x.random)),
      cpus: 1,
      spins: 1,
      warn: (line) => {
        throw new Error(`a warning: ${line}`);
      },
    };
  }
}

/**
 * What an object holds, as text. `known` has the objects that were printed before. Fields of `skipped` are left out.
 */
function print(x: unknown, known: Map<object, string>, skipped: readonly string[]): string {
  if (typeof x === "function") return x.toString();
  if (typeof x !== "object" || x === null) return String(x);
  const before = known.get(x);
  if (before !== undefined) return before;
  known.set(x, `#${known.size}`);
  if (ArrayBuffer.isView(x)) {
    const values = [...(x as Uint32Array)];
    return values.map((value, k) => (value === 0 ? "" : `${k}:${value} `)).join("");
  }
  const fields = Object.entries(x).filter(([key]) => !skipped.includes(key));
  return `{${fields.map(([key, value]) => `${key}:${print(value, known, skipped)}`).join()}}`;
}

/** The function and the line that made an operation: the first frame outside of this file. */
function placeOf(stack: string): string {
  const frames = stack.split("\n").slice(1);
  const frame = frames.find((line) => !/\/test\/explore[a-z-]*\.ts|shared-state\.ts/.test(line)) ?? "";
  const found = /at (?:(\S+) \()?.*\/([^/]+?)(?:\?[^:]*)?:(\d+):\d+/.exec(frame);
  return found === null ? "" : `${found[1] ?? ""} ${found[2]}:${found[3]}`;
}

/** A typed array whose elements are operations. */
function wordsOf<T extends Uint32Array | Float64Array>(
  array: T,
  size: number,
  read: (addr: number) => number,
  write: (addr: number, value: number) => void,
): T {
  return new Proxy(array, {
    get(target, key) {
      if (typeof key === "string" && key >= "0" && key <= ":") return read(Number(key) * size);
      if (key === "fill") {
        return (value: number, from: number, to: number): void => {
          for (let k = from; k < to; k++) write(k * size, value);
        };
      }
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value as () => void).bind(target) : value;
    },
    set(_, key, value) {
      write(Number(key) * size, value as number);
      return true;
    },
  });
}
