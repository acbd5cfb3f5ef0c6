/**
 * A small structured assembler for WebAssembly: expressions, locals, loops. Kernels are written in it beside their
 * TypeScript twins, so its code reads like theirs: `page.shl(2).load(table)` is `u32[(table + page * 4) >>> 2]`.
 *
 *     const m = new WasmModule(pages, shared);
 *     m.func("sum", ["lo", "hi"], 1, ([lo, hi]) => {
 *       const total = m.local();
 *       return [loopWhile(lo.lt(hi), [total.set(total.add(lo.load())), lo.set(lo.add(4))]), ret(total)];
 *     });
 *     new WebAssembly.Instance(new WebAssembly.Module(m.bytes()), { gort: { memory } });
 *
 * Every value is an i32. Comparisons and shifts are unsigned. Addresses are unsigned too: a load at `base + offset`
 * with a constant offset costs no addition and reaches all 4 GiB. Functions have 0 or 1 results. Atomic instructions
 * are valid on unshared memories as well. The binary format: https://webassembly.github.io/spec/core/binary/.
 */

/** The value type i32, and the block type without a result. */
const I32 = 0x7f;
const NO_RESULT = 0x40;
/** The form of a function type. */
const FUNC = 0x60;
/** Kinds of imports and exports. */
const KIND_FUNC = 0x00;
const KIND_MEMORY = 0x02;
/** Flags of a memory's limits: with a maximum; shared. */
const HAS_MAXIMUM = 0x01;
const SHARED = 0x02;
/** Ids of the sections. */
const SECTION = { TYPE: 1, IMPORT: 2, FUNCTION: 3, EXPORT: 7, CODE: 10 } as const;

/** The 0xfe prefix of atomic instructions, in one number with the opcode. */
const ATOMIC = 0xfe00;

/** Opcodes, with the names of the specification. */
const OP = {
  UNREACHABLE: 0x00,
  BLOCK: 0x02,
  LOOP: 0x03,
  IF: 0x04,
  ELSE: 0x05,
  END: 0x0b,
  BR: 0x0c,
  BR_IF: 0x0d,
  RETURN: 0x0f,
  CALL: 0x10,
  DROP: 0x1a,
  SELECT: 0x1b,
  LOCAL_GET: 0x20,
  LOCAL_SET: 0x21,
  I32_LOAD: 0x28,
  I32_STORE: 0x36,
  I64_STORE: 0x37,
  I32_CONST: 0x41,
  I64_CONST: 0x42,
  I32_EQZ: 0x45,
  I32_EQ: 0x46,
  I32_NE: 0x47,
  I32_LT_U: 0x49,
  I32_GT_U: 0x4b,
  I32_LE_U: 0x4d,
  I32_GE_U: 0x4f,
  I32_CLZ: 0x67,
  I32_CTZ: 0x68,
  I32_POPCNT: 0x69,
  I32_ADD: 0x6a,
  I32_SUB: 0x6b,
  I32_MUL: 0x6c,
  I32_DIV_U: 0x6e,
  I32_REM_U: 0x70,
  I32_AND: 0x71,
  I32_OR: 0x72,
  I32_XOR: 0x73,
  I32_SHL: 0x74,
  I32_SHR_U: 0x76,
  MEMORY_COPY: [0xfc, 0x0a],
  MEMORY_FILL: [0xfc, 0x0b],
  I32_ATOMIC_LOAD: ATOMIC | 0x10,
  I32_ATOMIC_STORE: ATOMIC | 0x17,
  I32_ATOMIC_RMW_ADD: ATOMIC | 0x1e,
  I32_ATOMIC_RMW_AND: ATOMIC | 0x2c,
  I32_ATOMIC_RMW_OR: ATOMIC | 0x33,
  I32_ATOMIC_RMW_XCHG: ATOMIC | 0x41,
  I32_ATOMIC_RMW_CMPXCHG: ATOMIC | 0x48,
} as const;

/** Unsigned LEB128. */
function uleb(n: number): number[] {
  const out: number[] = [];
  emitUleb(out, n);
  return out;
}

/**
 * Appends code to the bytes of the function. Every level writes there directly: copying code from level to level would
 * take longer than compiling it.
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

/** An expression, or a number for a constant. Numbers from 2^31 to 2^32 - 1 count modulo 2^32. */
export type Operand = Expr | number;

function emit(out: number[], x: Operand): void {
  if (typeof x === "number") {
    out.push(OP.I32_CONST);
    emitSleb(out, x | 0);
  } else x.emit(out);
}

/** A memory instruction: `align` is log2 of its width. */
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
    return this.#unary(OP.I32_EQZ);
  }
  eq(b: Operand): Expr {
    return this.#binary(OP.I32_EQ, b);
  }
  ne(b: Operand): Expr {
    return this.#binary(OP.I32_NE, b);
  }
  lt(b: Operand): Expr {
    return this.#binary(OP.I32_LT_U, b);
  }
  gt(b: Operand): Expr {
    return this.#binary(OP.I32_GT_U, b);
  }
  le(b: Operand): Expr {
    return this.#binary(OP.I32_LE_U, b);
  }
  ge(b: Operand): Expr {
    return this.#binary(OP.I32_GE_U, b);
  }
  clz(): Expr {
    return this.#unary(OP.I32_CLZ);
  }
  ctz(): Expr {
    return this.#unary(OP.I32_CTZ);
  }
  popcnt(): Expr {
    return this.#unary(OP.I32_POPCNT);
  }
  add(b: Operand): Expr {
    return this.#binary(OP.I32_ADD, b);
  }
  sub(b: Operand): Expr {
    return this.#binary(OP.I32_SUB, b);
  }
  mul(b: Operand): Expr {
    return this.#binary(OP.I32_MUL, b);
  }
  /** Traps if b is 0; so does rem. */
  div(b: Operand): Expr {
    return this.#binary(OP.I32_DIV_U, b);
  }
  rem(b: Operand): Expr {
    return this.#binary(OP.I32_REM_U, b);
  }
  and(b: Operand): Expr {
    return this.#binary(OP.I32_AND, b);
  }
  or(b: Operand): Expr {
    return this.#binary(OP.I32_OR, b);
  }
  xor(b: Operand): Expr {
    return this.#binary(OP.I32_XOR, b);
  }
  /** Shifts by b modulo 32; so does shr. */
  shl(b: Operand): Expr {
    return this.#binary(OP.I32_SHL, b);
  }
  shr(b: Operand): Expr {
    return this.#binary(OP.I32_SHR_U, b);
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
  /** The word at this address plus a constant, together a multiple of 4. */
  load(offset = 0): Expr {
    return this.#memory(OP.I32_LOAD, offset);
  }
  atomicLoad(offset = 0): Expr {
    return this.#memory(OP.I32_ATOMIC_LOAD, offset);
  }
  /** Adds atomically to the word at this address plus a constant. Gives the previous word, as do the four below. */
  atomicAdd(value: Operand, offset = 0): Expr {
    return this.#memory(OP.I32_ATOMIC_RMW_ADD, offset, value);
  }
  atomicAnd(value: Operand, offset = 0): Expr {
    return this.#memory(OP.I32_ATOMIC_RMW_AND, offset, value);
  }
  atomicOr(value: Operand, offset = 0): Expr {
    return this.#memory(OP.I32_ATOMIC_RMW_OR, offset, value);
  }
  atomicXchg(value: Operand, offset = 0): Expr {
    return this.#memory(OP.I32_ATOMIC_RMW_XCHG, offset, value);
  }
  /** Stores `value` if the word is `expected`. */
  atomicCas(expected: Operand, value: Operand, offset = 0): Expr {
    return this.#memory(OP.I32_ATOMIC_RMW_CMPXCHG, offset, expected, value);
  }
}

export class Local extends Expr {
  readonly #index: number;
  constructor(index: number) {
    super((out) => {
      out.push(OP.LOCAL_GET);
      emitUleb(out, index);
    });
    this.#index = index;
  }
  set(value: Operand): Stmt {
    return (out) => {
      emit(out, value);
      out.push(OP.LOCAL_SET);
      emitUleb(out, this.#index);
    };
  }
}

/** Code that leaves nothing. `depth` is the number of enclosing blocks, from which a branch counts outwards. */
export type Stmt = (out: number[], depth: number) => void;

export const constant = (n: number): Expr => new Expr((out) => emit(out, n));

/** a if the condition holds, else b. Both are evaluated. */
export const select = (condition: Expr, a: Operand, b: Operand): Expr =>
  new Expr((out) => {
    for (const x of [a, b, condition]) emit(out, x);
    out.push(OP.SELECT);
  });

const memoryStmt =
  (opcode: number, align: number, offset: number, ...operands: Operand[]): Stmt =>
  (out) => {
    for (const x of operands) emit(out, x);
    emitMemory(out, opcode, align, offset);
  };

export const store = (addr: Operand, value: Operand, offset = 0): Stmt =>
  memoryStmt(OP.I32_STORE, 2, offset, addr, value);

export const atomicStore = (addr: Operand, value: Operand, offset = 0): Stmt =>
  memoryStmt(OP.I32_ATOMIC_STORE, 2, offset, addr, value);

/** Zeroes 8 bytes at an address that is a multiple of 8. */
export const zero8 =
  (addr: Expr, offset = 0): Stmt =>
  (out) => {
    addr.emit(out);
    out.push(OP.I64_CONST, 0x00);
    emitMemory(out, OP.I64_STORE, 3, offset);
  };

const bulk =
  (code: readonly number[], ...operands: Operand[]): Stmt =>
  (out) => {
    for (const x of operands) emit(out, x);
    out.push(...code);
  };

export const memoryFill = (addr: Operand, byte: Operand, n: Operand): Stmt =>
  bulk([...OP.MEMORY_FILL, 0x00], addr, byte, n);

export const memoryCopy = (dst: Operand, src: Operand, n: Operand): Stmt =>
  bulk([...OP.MEMORY_COPY, 0x00, 0x00], dst, src, n);

/** Evaluates an expression for its side effects. */
export const drop = (x: Expr): Stmt => bulk([OP.DROP], x);

/** Leaves the function, with its result if it has one. */
export const ret = (x?: Operand): Stmt => (x === undefined ? bulk([OP.RETURN]) : bulk([OP.RETURN], x));

function sequence(out: number[], body: readonly Stmt[], depth: number): void {
  for (const s of body) s(out, depth);
}

export function when(condition: Expr, then: readonly Stmt[], otherwise: readonly Stmt[] = []): Stmt {
  return (out, depth) => {
    condition.emit(out);
    out.push(OP.IF, NO_RESULT);
    sequence(out, then, depth + 1);
    if (otherwise.length > 0) {
      out.push(OP.ELSE);
      sequence(out, otherwise, depth + 1);
    }
    out.push(OP.END);
  };
}

/** The target of branches. Branch to it only inside of the construct that made it. */
export class Label {
  #depth = 0;
  /** Branches to the label; with a condition, only if it holds. */
  branch(condition?: Expr): Stmt {
    return (out, depth) => {
      condition?.emit(out);
      out.push(condition ? OP.BR_IF : OP.BR);
      emitUleb(out, depth - this.#depth);
    };
  }
  /** Sets the depth of the label. For the constructs below. */
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
    out.push(OP.END);
  };
}

/** A block. A branch to its label leaves it. */
export const block = (body: (leave: Label) => readonly Stmt[]): Stmt => labelled(OP.BLOCK, body);

/** A block that ends after its last statement, unless a branch to its label starts it again. */
export const loop = (body: (again: Label) => readonly Stmt[]): Stmt => labelled(OP.LOOP, body);

/** Runs the body as long as the condition holds before it. */
export const loopWhile = (condition: Expr, body: readonly Stmt[]): Stmt =>
  when(condition, [loop((again) => [...body, again.branch(condition)])]);

/** Runs the body once, and again as long as the condition holds after it. */
export const doWhile = (body: readonly Stmt[], condition: Expr): Stmt =>
  loop((again) => [...body, again.branch(condition)]);

/** A function of the module. `call` is its result as an expression; `run` is the call of a function without result. */
export class Func {
  readonly #index: number;
  constructor(index: number) {
    this.#index = index;
  }
  call(...args: Operand[]): Expr {
    return new Expr((out) => {
      for (const x of args) emit(out, x);
      out.push(OP.CALL);
      emitUleb(out, this.#index);
    });
  }
  run(...args: Operand[]): Stmt {
    return this.call(...args).emit;
  }
}

/**
 * A module over the imported memory `gort.memory`. Declare imports before functions, and functions before their
 * callers.
 */
export class WasmModule {
  readonly #limits: number[];
  readonly #types: number[][] = [];
  readonly #imports: number[][] = [];
  readonly #exports: number[][] = [];
  readonly #bodies: number[][] = [];
  /** The number of locals of the current function, parameters included. */
  #locals = 0;

  /** pages: the memory's size in pages of 64 KiB, which is its initial and its maximum size. */
  constructor(pages: number, shared: boolean) {
    this.#limits = [shared ? HAS_MAXIMUM | SHARED : HAS_MAXIMUM, ...uleb(pages), ...uleb(pages)];
  }

  #type(params: number, results: number): number[] {
    const i32s = (n: number): number[] => vec(Array.from({ length: n }, () => [I32]));
    this.#types.push([FUNC, ...i32s(params), ...i32s(results)]);
    return uleb(this.#types.length - 1);
  }

  /** A function `gort.<fname>` of the host. */
  import(fname: string, params: number, results: 0 | 1): Func {
    if (this.#bodies.length > 0) throw new TypeError(`memory: import of ${fname} after a function`);
    this.#imports.push([...name("gort"), ...name(fname), KIND_FUNC, ...this.#type(params, results)]);
    return new Func(this.#imports.length - 1);
  }

  /** A fresh local of the current function; its first value is 0. */
  local(): Local {
    return new Local(this.#locals++);
  }

  /** An endless series of fresh locals: `const [a, b] = m.locals()`. */
  *locals(): Generator<Local, never> {
    for (;;) yield this.local();
  }

  /** Declares and exports a function. `body` runs at once. A function with a result returns it with `ret`. */
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
    // A function with a result has returned before its end; the code there must be unreachable.
    if (results === 1) text.push(OP.UNREACHABLE);
    text.push(OP.END);
    this.#bodies.push([...uleb(text.length), ...text]);
    const index = this.#imports.length + this.#bodies.length - 1;
    this.#exports.push([...name(fname), KIND_FUNC, ...uleb(index)]);
    return new Func(index);
  }

  bytes(): Uint8Array<ArrayBuffer> {
    const memory = [...name("gort"), ...name("memory"), KIND_MEMORY, ...this.#limits];
    const first = this.#imports.length;
    return new Uint8Array([
      // "\0asm", version 1
      ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      ...section(SECTION.TYPE, vec(this.#types)),
      ...section(SECTION.IMPORT, vec([...this.#imports, memory])),
      ...section(SECTION.FUNCTION, vec(this.#bodies.map((_, i) => uleb(first + i)))),
      ...section(SECTION.EXPORT, vec(this.#exports)),
      ...section(SECTION.CODE, vec(this.#bodies)),
    ]);
  }
}
