/**
 * Caller, Callers, CallersFrames and FuncForPC against caller.json.
 *
 * Each recorded walk is played. For the functions on its stack, JavaScript is generated with the same functions in
 * the same order: plain functions, methods, static methods for value receivers, and closures with the same numbers. A
 * source map puts every call on the recorded file and line. Then the same questions are asked as in Go.
 *
 * Not counted:
 *   - walks with a function that JavaScript does not have: generics ([...]), range-over-func bodies, several
 *     init functions, a package's init, names that Go's inliner makes (f.func1.func1);
 *   - walks with a function whose name is a reserved word of JavaScript;
 *   - walks through packages other than main and runtime: we do not choose the names in their source;
 *   - file and line of runtime.Callers and runtime.goexit, which have none here;
 *   - func_for_pc_of_callers_skip_0: the code behind a call after inlining;
 *   - func_for_pc_of_function_values and inlined_frames: there are no function addresses, and V8 unfolds inlining.
 */
import { Script } from "node:vm";
import { createProfiler, type Profiler } from "../src/index.ts";

export interface Result {
  passed: number;
  total: number;
  failures: string[];
}

interface Row {
  skip: number;
  ok: boolean;
  func: string;
  file: string;
  line: number;
}

interface Walk {
  name: string;
  caller: Row[];
  callers_frames_skip_0: string[];
  func_for_pc_of_callers_minus_1: string[];
  [callersN: `callers_n_skip_${number}`]: number;
}

interface Vectors {
  walks: Walk[];
  misc: Record<string, unknown>;
}

export function run(vectors: unknown): Result {
  const { walks, misc } = vectors as Vectors;
  const result: Result = { passed: 0, total: 0, failures: [] };
  const check = (what: string, got: unknown, want: unknown): void => {
    result.total++;
    if (JSON.stringify(got) === JSON.stringify(want)) result.passed++;
    else result.failures.push(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  };
  for (const walk of walks) playWalk(walk, check);

  const p = createProfiler();
  const is = (name: string, got: unknown) => name in misc && check(name, got, misc[name]);
  is("Caller(-1) ok", p.caller(-1).ok);
  is("Callers(0, empty slice)", p.callers(0, []));
  is("FuncForPC(0) is nil", p.funcForPC(0) === null);
  is("FuncForPC(1) is nil", p.funcForPC(1) === null);
  const f = p.funcForPC(p.caller(0).pc)!;
  is("FuncForPC(entry+1).Entry equals entry", p.funcForPC(f.entry() + 1)!.entry() === f.entry());
  const zero = p.callersFrames([]).next();
  check("CallersFrames(nil).Next", [zero.frame.PC, zero.frame.Func, zero.more], [0, null, false]);
  if (Array.isArray(misc["Frame fields"])) {
    const names = (misc["Frame fields"] as string[]).map((field) => field.split(" ")[0]);
    check("Frame fields", Object.keys(zero.frame), names);
  }
  return result;
}

type Check = (what: string, got: unknown, want: unknown) => void;

function playWalk(walk: Walk, check: Check): void {
  // The frames of record's own walk, innermost first: [runtime.Callers, record, the function under test, ..., goexit].
  const frames = walk.callers_frames_skip_0.map(parseFrame);
  if (frames.length < 3 || frames[0].func !== "runtime.Callers" || frames.at(-1)!.func !== "runtime.goexit")
    return;
  const record = frames[1];
  const played = frames.slice(1, -1);
  if (record.func !== walk.caller[0]?.func || !played.every((f) => parseName(f.func) !== null)) return;

  const callerLine = walk.caller[0].line;
  const profiler = createProfiler({
    mainModule: scriptOf("main"),
    isRuntime: (file) => file.startsWith("/runtime/"),
    isStackBase: (frame) => frame.functionName === "goroutineBase",
  });
  const pcs = new Array<number>(50).fill(0);
  const got = { rows: [] as Row[], counts: {} as Record<string, number>, n: 0 };
  const asked = Object.keys(walk).filter((key) => key.startsWith("callers_n_skip_"));
  // What record does: first all of Caller, on one line, then Callers, on another.
  const ask = {
    caller: (): void => {
      for (const { skip } of walk.caller) {
        const { pc, file, line, ok } = profiler.caller(skip + 1);
        got.rows.push({ skip, ok, func: ok ? (profiler.funcForPC(pc)?.name() ?? "") : "", file, line });
      }
    },
    callers: (): void => {
      // One more frame than in Go: this function, between callers and record.
      for (const key of asked) {
        const skip = Number(key.slice(15));
        got.counts[key] = profiler.callers(skip === 0 ? 0 : skip + 1, pcs) - (skip === 0 ? 1 : 0);
      }
      got.n = profiler.callers(0, pcs);
      pcs.splice(1, 1);
      got.n--;
    },
  };
  new Player(profiler, played, callerLine, ask).play();

  for (const [i, want] of walk.caller.entries()) {
    const row = got.rows[i];
    if (want.func === "runtime.goexit")
      check(`${walk.name}: Caller(${want.skip})`, [row.ok, row.func], [want.ok, want.func]);
    else
      check(
        `${walk.name}: Caller(${want.skip})`,
        row,
        want.file === "" ? want : { ...want, file: `/${want.file}` },
      );
  }
  for (const key of asked)
    check(`${walk.name}: ${key}`, got.counts[key], walk[key as `callers_n_skip_${number}`]);
  const names: string[] = [];
  const places: string[] = [];
  const all = profiler.callersFrames(pcs.slice(0, got.n));
  for (;;) {
    const { frame, more } = all.next();
    names.push(frame.Function);
    places.push(
      /^runtime\.(Callers|goexit)$/.test(frame.Function)
        ? frame.Function
        : `${frame.Function} ${frame.File.slice(1)}:${frame.Line}`,
    );
    if (!more) break;
  }
  check(
    `${walk.name}: CallersFrames`,
    places,
    walk.callers_frames_skip_0.map((s) => s.replace(/^(runtime\.(?:Callers|goexit)) .*/, "$1")),
  );
  check(
    `${walk.name}: FuncForPC(pc-1)`,
    pcs.slice(0, got.n).map((pc) => profiler.funcForPC(pc - 1)?.name()),
    walk.func_for_pc_of_callers_minus_1,
  );
}

interface PlayedFrame {
  func: string;
  file: string;
  line: number;
}

function parseFrame(text: string): PlayedFrame {
  const [, func, file, line] = /^(\S+) (.*):(\d+)$/.exec(text)!;
  return { func: func, file: file, line: Number(line) };
}

interface Name {
  pkg: string;
  /** The named function at the root: "f", "(*T).m", "T.m" or "init". */
  root: string;
  /** The numbers of closures in it. */
  closures: number[];
}

const PACKAGE = "(main|runtime)";
/** Of a closure the function at its root: init, a function, a method of a pointer, or a method of a value. */
const ROOT = "(init(?=\\.func)|\\w+|\\(\\*\\w+\\)\\.\\w+|[a-zA-Z]\\w*\\.(?!func\\d)[a-zA-Z]\\w*)";
const CLOSURES = "(?:\\.func(\\d+)((?:\\.\\d+)*))?";
const PLAYABLE = new RegExp(`^${PACKAGE}\\.${ROOT}${CLOSURES}$`);

/** The parts of a name that can be played, or null. */
function parseName(func: string): Name | null {
  const m = PLAYABLE.exec(func);
  if (m === null) return null;
  const [, pkg, root, first, rest] = m;
  // A name of Go may be a word of JavaScript.
  const type = /^(?:\(\*)?(\w+)/.exec(root)![1];
  if (!isIdentifier(type) || root.endsWith(".constructor")) return null;
  if ((root === "init" && first === undefined) || (pkg === "runtime" && root === "goexit")) return null;
  const closures = first === undefined ? [] : [Number(first), ...rest.split(".").filter(Boolean).map(Number)];
  return { pkg: pkg, root: root, closures };
}

function isIdentifier(name: string): boolean {
  try {
    new Function(`"use strict"; let ${name};`);
    return true;
  } catch {
    return false;
  }
}

function scriptOf(pkg: string): string {
  return pkg === "main" ? "/oracle/played/main.go" : `/${pkg}/played.go`;
}

/** A function to generate: what it does at which depth of the walk, and its closures. */
interface FunctionPlan {
  steps: { depth: number; file: string; line: number }[];
  closures: FunctionPlan[];
}

type Callable = (depth: number) => unknown;
type Receiver = Record<string, Callable>;

/** What the generated code reaches. */
interface World {
  /** The function at each depth, and what it is called on if it is a method. */
  call: Callable[];
  on: (Receiver | undefined)[];
  /** Roots by name, of the script that is being run. */
  roots: Record<string, Callable>;
  receivers: Record<string, Receiver>;
  take(closures: Callable[]): void;
  ask: { caller(): void; callers(): void };
}

/** Where a goroutine's stack ends. */
function goroutineBase(world: World, depth: number, method: string): void {
  const receiver = world.on[depth];
  if (receiver !== undefined) receiver[method](depth);
  else {
    const f = world.call[depth];
    f(depth);
  }
}

/** Generates the functions of a walk, and runs it from the outermost to record. */
class Player {
  private readonly packages = new Map<string, Map<string, FunctionPlan>>();
  private readonly names: Name[];
  private readonly world: World;

  constructor(
    private readonly profiler: Profiler,
    private readonly frames: readonly PlayedFrame[],
    private readonly callerLine: number,
    ask: World["ask"],
  ) {
    this.names = frames.map((f) => parseName(f.func)!);
    this.world = { call: [], on: [], roots: {}, receivers: {}, take: () => {}, ask };
  }

  play(): void {
    for (const [depth, frame] of this.frames.entries()) {
      const { pkg, root, closures } = this.names[depth];
      const functions = this.packages.get(pkg) ?? new Map<string, FunctionPlan>();
      this.packages.set(pkg, functions);
      let plan = functions.get(root) ?? { steps: [], closures: [] };
      functions.set(root, plan);
      for (const n of closures) {
        while (plan.closures.length < n) plan.closures.push({ steps: [], closures: [] });
        plan = plan.closures[n - 1]!;
      }
      plan.steps.push({ depth, file: frame.file, line: frame.line });
    }
    for (const [pkg, functions] of this.packages) this.load(pkg, functions);
    const outermost = this.frames.length - 1;
    goroutineBase(this.world, outermost, methodOf(this.names[outermost]));
  }

  /** Makes one script of one package's functions, and runs it. */
  private load(pkg: string, functions: Map<string, FunctionPlan>): void {
    const lines: string[] = [];
    const sources: string[] = [];
    const mappings: [number, number, number, number][][] = [];
    const emit = (text: string, file?: string, line?: number): void => {
      lines.push(text);
      const source = `/${file}`;
      if (file !== undefined && !sources.includes(source)) sources.push(source);
      mappings.push(line === undefined ? [] : [[0, sources.indexOf(source), line - 1, 0]]);
    };
    const closuresOf = (plan: FunctionPlan): void => {
      for (const c of plan.closures) {
        emit("function (d) {");
        body(c);
        emit("},");
      }
    };
    const body = (plan: FunctionPlan): void => {
      // Not through a variable: V8 would name the closures after it.
      emit("if (d < 0) return [");
      closuresOf(plan);
      emit("];");
      for (const { depth, file, line } of plan.steps) {
        if (depth > 0) emit(`if (d === ${depth}) return ${this.callOf(depth - 1)};`, file, line);
        else {
          emit("$world.ask.caller();", file, this.callerLine);
          emit("$world.ask.callers();", file, line);
        }
      }
    };

    emit('"use strict"; { const $world = globalThis.played;');
    const classes = new Map<string, [name: Name, plan: FunctionPlan][]>();
    for (const [root, plan] of functions) {
      const name: Name = { pkg, root, closures: [] };
      if (root === "init") {
        // First in the file, so that they are the file's first closures.
        emit("$world.take([");
        closuresOf(plan);
        emit("]);");
      } else if (methodOf(name) !== "") {
        const type = typeOf(name);
        classes.set(type, [...(classes.get(type) ?? []), [name, plan]]);
      } else {
        emit(`function ${root}(d) {`);
        body(plan);
        emit(`} $world.roots[${JSON.stringify(root)}] = ${root};`);
      }
    }
    for (const [type, methods] of classes) {
      emit(`class ${type} {`);
      for (const [name, plan] of methods) {
        emit(`${isStatic(name) ? "static " : ""}${methodOf(name)}(d) {`);
        body(plan);
        emit("}");
      }
      emit("}");
      for (const [name] of methods) {
        emit(`$world.receivers[${JSON.stringify(name.root)}] = ${isStatic(name) ? type : `new ${type}()`};`);
      }
    }
    emit("}");

    this.run(pkg, () => this.compile(scriptOf(pkg), lines, sources, mappings));
  }

  /** Runs one package's script, and finds the function of each depth in it. */
  private run(pkg: string, script: () => void): void {
    const { world } = this;
    world.roots = {};
    world.receivers = {};
    const shared = globalThis as { played?: World };
    shared.played = world;
    let closures: Callable[] = [];
    world.take = (list) => {
      closures = list;
    };
    script();
    for (const [depth, name] of this.names.entries()) {
      if (name.pkg !== pkg) continue;
      const receiver = world.receivers[name.root];
      if (name.closures.length === 0) {
        world.on[depth] = receiver;
        world.call[depth] = world.roots[name.root]!;
        continue;
      }
      const outer = receiver === undefined ? world.roots[name.root] : receiver[methodOf(name)];
      let list = name.root === "init" ? closures : (outer.call(receiver, -1) as Callable[]);
      for (const n of name.closures.slice(0, -1)) list = list[n - 1](-1) as Callable[];
      world.call[depth] = list[name.closures.at(-1)! - 1]!;
    }
    delete shared.played;
  }

  /** The expression that calls the function at a depth: directly, so that no frame lies between. */
  private callOf(depth: number): string {
    const name = this.names[depth];
    return name.closures.length === 0 && methodOf(name) !== ""
      ? `$world.on[${depth}].${methodOf(name)}(${depth})`
      : `(0, $world.call[${depth}])(${depth})`;
  }

  private compile(
    script: string,
    lines: string[],
    sources: string[],
    mappings: [number, number, number, number][][],
  ): void {
    const code = lines.join("\n");
    this.profiler.table.sourceMaps.add(script, { version: 3, sources, names: [], mappings });
    this.profiler.table.addSource(script, code);
    new Script(code, { filename: script }).runInThisContext();
  }
}

/** The method's name in "(*T).m" or "T.m", "" for a function. */
function methodOf(name: Name): string {
  return /\.(\w+)$/.exec(name.root)?.[1] ?? "";
}

function typeOf(name: Name): string {
  return /^(?:\(\*)?(\w+)/.exec(name.root)![1];
}

function isStatic(name: Name): boolean {
  return !name.root.startsWith("(");
}
