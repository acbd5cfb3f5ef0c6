/**
 * A small structured assembler for WebAssembly: expressions, locals, loops. Kernels are written in it beside their
 * TypeScript twins, so it is made to be read: `page.shl(2).load(table)` is `u32[(table + page * 4) >>> 2]`.
 *
 *     const m = new WasmModule(pages, shared);
 *     m.func("sum", ["lo", "hi"], 1, ([lo, hi]) => {
 *       const total = m.local();
 *       return [loopWhile(lo.lt(hi), [total.set(total.add(lo.load())), lo.set(lo.add(4))]), ret(total)];
 *     });
 *     new WebAssembly.Instance(new WebAssembly.Module(m.bytes()), { gort: { memory } });
 *
 * Every value is an i32; comparisons and shifts are unsigned. Addresses are unsigned too: a load at `base + offset`,
 * the offset being constant, costs no addition and may reach all 4 GiB. Functions have 0 or 1 results. Atomic
 * instructions are valid on unshared memories as well. The binary format:
 * https://webassembly.github.io/spec/core/binary/.
 */

const I32 = 0x7f;
const NO_RESULT = 0x40;

/** Unsigned LEB128. */
function uleb(n: number): number[] {
  const out: number[] = [];
  emitUleb(out, n);
  return out;
}

/**
 * Code is written straight to the function's bytes: copying it from level to level would take longer than compiling it.
 */
type Emit = (out: number[]) => void;

function emitUleb(out: number[], n: number): void {
  for (; n > 0x7f; n >>>= 7) out.push((n & 0x7f) | 0x80);
  out.push(n);
}

/** Signed LEB128 of an i32. */
function emitSleb(out: number[], n: number): void {
  for (; n < -0x40 || n > 0x3f; n >>= 7) out.push((n & 0x7f) | 0x80);
  out.push(n & 0x7f);
}

function vec(items: readonly (readonly number[])[]): number[] {
  return [...uleb(items.length), ...items.flat()];
}

function section(id: number, body: readonly number[]): number[] {
  return [id, ...uleb(body.length), ...body];
}

function name(s: string): number[] {
  const bytes = [...s].map((c) => c.charCodeAt(0));
  return [...uleb(bytes.length), ...bytes];
}

/** An expression, or a number that stands for a constant; 2^31 to 2^32 - 1 are taken modulo 2^32. */
export type Operand = Expr | number;

function emit(out: number[], x: Operand): void {
  if (typeof x === "number") {
    out.push(0x41);
    emitSleb(out, x | 0);
  } else x.emit(out);
}

/** The 0xfe prefix of atomic instructions, in one number with the opcode. */
const ATOMIC = 0xfe00;

/** An instruction of memory: alignment by its width's exponent, and the offset. */
function emitMemory(out: number[], opcode: number, align: number, offset: number): void {
  if (opcode >= ATOMIC) out.push(opcode >>> 8, opcode & 0xff, align);
  else out.push(opcode, align);
  emitUleb(out, offset);
}

/** Code that leaves an i32. */
export class Expr {
  readonly emit: Emit;
  constructor(emit: Emit) {
    this.emit = emit;
  }

  #unary(opcode: number): Expr {
    return new Expr((out) => {
      this.emit(out);
      out.push(opcode);
    });
  }
  #binary(opcode: number, b: Operand): Expr {
    return new Expr((out) => {
      this.emit(out);
      emit(out, b);
      out.push(opcode);
    });
  }
  eqz(): Expr {
    return this.#unary(0x45);
  }
  eq(b: Operand): Expr {
    return this.#binary(0x46, b);
  }
  ne(b: Operand): Expr {
    return this.#binary(0x47, b);
  }
  lt(b: Operand): Expr {
    return this.#binary(0x49, b);
  }
  gt(b: Operand): Expr {
    return this.#binary(0x4b, b);
  }
  le(b: Operand): Expr {
    return this.#binary(0x4d, b);
  }
  ge(b: Operand): Expr {
    return this.#binary(0x4f, b);
  }
  clz(): Expr {
    return this.#unary(0x67);
  }
  ctz(): Expr {
    return this.#unary(0x68);
  }
  popcnt(): Expr {
    return this.#unary(0x69);
  }
  add(b: Operand): Expr {
    return this.#binary(0x6a, b);
  }
  sub(b: Operand): Expr {
    return this.#binary(0x6b, b);
  }
  mul(b: Operand): Expr {
    return this.#binary(0x6c, b);
  }
  /** Traps if b is 0, as rem. */
  div(b: Operand): Expr {
    return this.#binary(0x6e, b);
  }
  rem(b: Operand): Expr {
    return this.#binary(0x70, b);
  }
  and(b: Operand): Expr {
    return this.#binary(0x71, b);
  }
  or(b: Operand): Expr {
    return this.#binary(0x72, b);
  }
  xor(b: Operand): Expr {
    return this.#binary(0x73, b);
  }
  /** By b modulo 32, as shr. */
  shl(b: Operand): Expr {
    return this.#binary(0x74, b);
  }
  shr(b: Operand): Expr {
    return this.#binary(0x76, b);
  }
  not(): Expr {
    return this.xor(-1);
  }

  #memory(opcode: number, offset: number, ...operands: Operand[]): Expr {
    return new Expr((out) => {
      this.emit(out);
      for (const x of operands) emit(out, x);
      emitMemory(out, opcode, 2, offset);
    });
  }
  /** The word at this address (a multiple of 4) plus a constant. */
  load(offset = 0): Expr {
    return this.#memory(0x28, offset);
  }
  atomicLoad(offset = 0): Expr {
    return this.#memory(ATOMIC | 0x10, offset);
  }
  /** Adds to the word at this address plus a constant, atomically; gives the word as it was, as all of these do. */
  atomicAdd(value: Operand, offset = 0): Expr {
    return this.#memory(ATOMIC | 0x1e, offset, value);
  }
  atomicAnd(value: Operand, offset = 0): Expr {
    return this.#memory(ATOMIC | 0x2c, offset, value);
  }
  atomicOr(value: Operand, offset = 0): Expr {
    return this.#memory(ATOMIC | 0x33, offset, value);
  }
  atomicXchg(value: Operand, offset = 0): Expr {
    return this.#memory(ATOMIC | 0x41, offset, value);
  }
  /** Stores `value` if the word is `expected`. */
  atomicCas(expected: Operand, value: Operand, offset = 0): Expr {
    return this.#memory(ATOMIC | 0x48, offset, expected, value);
  }
}

export class Local extends Expr {
  readonly #index: number;
  constructor(index: number) {
    super((out) => {
      out.push(0x20);
      emitUleb(out, index);
    });
    this.#index = index;
  }
  set(value: Operand): Stmt {
    return (out) => {
      emit(out, value);
      out.push(0x21);
      emitUleb(out, this.#index);
    };
  }
}

/** Code that leaves nothing, at a depth of nested blocks: what a branch needs to count its way out. */
export type Stmt = (out: number[], depth: number) => void;

export const constant = (n: number): Expr => new Expr((out) => emit(out, n));

/** a if the condition holds, else b; both are evaluated. */
export const select = (condition: Expr, a: Operand, b: Operand): Expr =>
  new Expr((out) => {
    for (const x of [a, b, condition]) emit(out, x);
    out.push(0x1b);
  });

const memoryStmt =
  (opcode: number, align: number, offset: number, ...operands: Operand[]): Stmt =>
  (out) => {
    for (const x of operands) emit(out, x);
    emitMemory(out, opcode, align, offset);
  };

export const store = (addr: Operand, value: Operand, offset = 0): Stmt =>
  memoryStmt(0x36, 2, offset, addr, value);

export const atomicStore = (addr: Operand, value: Operand, offset = 0): Stmt =>
  memoryStmt(ATOMIC | 0x17, 2, offset, addr, value);

/** Zeroes 8 bytes at an address that is a multiple of 8. */
export const zero8 =
  (addr: Expr, offset = 0): Stmt =>
  (out) => {
    addr.emit(out);
    out.push(0x42, 0x00);
    emitMemory(out, 0x37, 3, offset);
  };

const bulk =
  (code: readonly number[], ...operands: Operand[]): Stmt =>
  (out) => {
    for (const x of operands) emit(out, x);
    out.push(...code);
  };

export const memoryFill = (addr: Operand, byte: Operand, n: Operand): Stmt =>
  bulk([0xfc, 0x0b, 0x00], addr, byte, n);

export const memoryCopy = (dst: Operand, src: Operand, n: Operand): Stmt =>
  bulk([0xfc, 0x0a, 0x00, 0x00], dst, src, n);

/** Evaluates an expression for what it does. */
export const drop = (x: Expr): Stmt => bulk([0x1a], x);

/** Leaves the function, with its result if it has one. */
export const ret = (x?: Operand): Stmt => (x === undefined ? bulk([0x0f]) : bulk([0x0f], x));

function sequence(out: number[], body: readonly Stmt[], depth: number): void {
  for (const s of body) s(out, depth);
}

export function when(condition: Expr, then: readonly Stmt[], otherwise: readonly Stmt[] = []): Stmt {
  return (out, depth) => {
    condition.emit(out);
    out.push(0x04, NO_RESULT);
    sequence(out, then, depth + 1);
    if (otherwise.length > 0) {
      out.push(0x05);
      sequence(out, otherwise, depth + 1);
    }
    out.push(0x0b);
  };
}

/** A place that branches go to. Used inside of the construct that made it. */
export class Label {
  #depth = 0;
  /** Goes there; with a condition, if it holds. */
  branch(condition?: Expr): Stmt {
    return (out, depth) => {
      condition?.emit(out);
      out.push(condition ? 0x0d : 0x0c);
      emitUleb(out, depth - this.#depth);
    };
  }
  /** For the constructs below. */
  at(depth: number): void {
    this.#depth = depth;
  }
}

function labelled(opcode: number, body: (label: Label) => readonly Stmt[]): Stmt {
  const label = new Label();
  const stmts = body(label);
  return (out, depth) => {
    label.at(depth + 1);
    out.push(opcode, NO_RESULT);
    sequence(out, stmts, depth + 1);
    out.push(0x0b);
  };
}

/** A block; a branch to its label leaves it. */
export const block = (body: (leave: Label) => readonly Stmt[]): Stmt => labelled(0x02, body);

/** A block that is left at its end, unless a branch to its label starts it anew. */
export const loop = (body: (again: Label) => readonly Stmt[]): Stmt => labelled(0x03, body);

/** Runs the body as long as the condition holds before it. */
export const loopWhile = (condition: Expr, body: readonly Stmt[]): Stmt =>
  when(condition, [loop((again) => [...body, again.branch(condition)])]);

/** Runs the body once, and again as long as the condition holds after it. */
export const doWhile = (body: readonly Stmt[], condition: Expr): Stmt =>
  loop((again) => [...body, again.branch(condition)]);

/** A function that can be called: its result as an expression, or the call as a statement where it has none. */
export class Func {
  readonly #index: number;
  constructor(index: number) {
    this.#index = index;
  }
  call(...args: Operand[]): Expr {
    return new Expr((out) => {
      for (const x of args) emit(out, x);
      out.push(0x10);
      emitUleb(out, this.#index);
    });
  }
  run(...args: Operand[]): Stmt {
    return this.call(...args).emit;
  }
}

/**
 * A module over the imported memory `gort.memory`. Imports are declared before functions, functions before their
 * callers.
 */
export class WasmModule {
  readonly #limits: number[];
  readonly #types: number[][] = [];
  readonly #imports: number[][] = [];
  readonly #exports: number[][] = [];
  readonly #bodies: number[][] = [];
  /** Locals of the function at hand, its parameters included. */
  #locals = 0;

  /** pages: of 64 KiB, the memory's initial and its maximum size. */
  constructor(pages: number, shared: boolean) {
    this.#limits = [shared ? 0x03 : 0x01, ...uleb(pages), ...uleb(pages)];
  }

  #type(params: number, results: number): number[] {
    const i32s = (n: number): number[] => vec(Array.from({ length: n }, () => [I32]));
    this.#types.push([0x60, ...i32s(params), ...i32s(results)]);
    return uleb(this.#types.length - 1);
  }

  /** A function `gort.<fname>` of the host. */
  import(fname: string, params: number, results: 0 | 1): Func {
    if (this.#bodies.length > 0) throw new TypeError(`memory: import of ${fname} after a function`);
    this.#imports.push([...name("gort"), ...name(fname), 0x00, ...this.#type(params, results)]);
    return new Func(this.#imports.length - 1);
  }

  /** A fresh local of the function at hand, 0 at first. */
  local(): Local {
    return new Local(this.#locals++);
  }

  /** Fresh locals without end: `const [a, b] = m.locals()`. */
  *locals(): Generator<Local, never> {
    for (;;) yield this.local();
  }

  /**
   * Declares and exports a function. Its body is made at once; a body that ends in an expression is written with ret.
   */
  func(
    fname: string,
    params: readonly string[],
    results: 0 | 1,
    body: (args: Local[]) => readonly Stmt[],
  ): Func {
    this.#locals = params.length;
    const args = params.map((_, i) => new Local(i));
    const stmts = body(args);
    const own = this.#locals - params.length;
    this.#type(params.length, results);
    const text = own === 0 ? [0x00] : [0x01, ...uleb(own), I32];
    sequence(text, stmts, 0);
    // Whatever has a result returns from inside.
    if (results === 1) text.push(0x00);
    text.push(0x0b);
    this.#bodies.push([...uleb(text.length), ...text]);
    const index = this.#imports.length + this.#bodies.length - 1;
    this.#exports.push([...name(fname), 0x00, ...uleb(index)]);
    return new Func(index);
  }

  bytes(): Uint8Array<ArrayBuffer> {
    const memory = [...name("gort"), ...name("memory"), 0x02, ...this.#limits];
    const first = this.#imports.length;
    return new Uint8Array([
      ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      ...section(1, vec(this.#types)),
      ...section(2, vec([...this.#imports, memory])),
      ...section(3, vec(this.#bodies.map((_, i) => uleb(first + i)))),
      ...section(7, vec(this.#exports)),
      ...section(10, vec(this.#bodies)),
    ]);
  }
}
