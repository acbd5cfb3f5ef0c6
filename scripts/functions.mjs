/**
 * Derives the functions of a package from the methods of its default object, and the runtime's methods from those
 * of its parts. A function of the API is written once: as a method of `Scheduler`, `TypedHeap`, `Profiler` or
 * `Runtime`. Signatures and docs are copied, so that editors show them and V8 can inline the calls.
 *
 *     node scripts/functions.mjs            writes the files *.generated.ts below
 *     node scripts/functions.mjs --check    ends with status 1 if one of them is out of date
 *
 * Rejected: `export const { go } = bound`, because declaration files lose the docs of such constants; functions
 * made in a loop at run time, because each call would then pass its arguments through an array.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Classes whose methods are derived from. `part` leads from a runtime to its object of the class. */
const scheduler = {
  file: "packages/scheduler/src/scheduler.ts",
  class: "Scheduler",
  package: "@gort/scheduler",
  part: ".scheduler",
  methods:
    "go gosched main numGoroutine gomaxprocs lockOSThread unlockOSThread syscall cgocall numCgoCall stack makeChan " +
    "select sleep after newTimer newTicker afterFunc",
};
/** The runtime's makeChan also makes channels in the heap: runtime.ts and default.ts have it. */
const schedulerOfRuntime = { ...scheduler, methods: scheduler.methods.replace(" makeChan", "") };
const types = {
  file: "packages/types/src/typed-heap.ts",
  class: "TypedHeap",
  package: "@gort/types",
  part: ".types",
  methods: "newObject makeSlice sliceOf toBytes",
};
const profiler = {
  file: "packages/profiling/src/profiler.ts",
  class: "Profiler",
  package: "@gort/profiling",
  part: ".profiler",
  methods:
    "memProfile blockProfile mutexProfile goroutineProfile threadCreateProfile setCPUProfileRate " +
    "callersFrames funcForPC",
};
const runtime = {
  file: "packages/runtime/src/runtime.ts",
  class: "Runtime",
  package: "@gort/runtime",
  part: "",
  methods:
    "gc safepoint root setFinalizer addCleanup weak keepAlive readMemStats setBlockProfileRate " +
    "setMutexProfileFraction",
};

/** Stacks begin with the caller of the function that the last argument names: SELF is the derived function. */
const bodies = {
  go: "return OBJECT.newproc(f, args, SELF);",
  main: "return OBJECT.mainBelow<T>(f, SELF);",
  stack: "return stackBelow(OBJECT, buf, all, SELF);",
};

/** `go` of the facade also takes tasks, whose arguments any thread must be able to get. */
const goOfRuntime = (start, object, self) => `${start}go<A extends readonly unknown[], R = unknown>(
  f: Task<A, R>, ...args: Args<A>): Goroutine;
${start}go<A extends readonly unknown[], R = unknown>(
  f: ((...args: A) => NotAsync<R>) & NotTask, ...args: A): Goroutine;
${start}go(f: (...args: never[]) => unknown, ...args: unknown[]): Goroutine {
  const entry = taskOf(f);
  return entry === null ? ${object}.newproc(f, args, ${self}) : goTask(${object}, entry, args, ${self});
}`;
const taskImports = [
  'import type { Args } from "@gort/threads";',
  'import { type NotTask, type Task, taskOf } from "./task.ts";',
  'import { goTask } from "./tasks.ts";',
];

/** A rest parameter would be allocated for every goroutine; forwarded like this, the arguments are not. */
const goOfScheduler = `;
export function go(f: (...args: never[]) => unknown, arg?: unknown): Goroutine {
  // As in Scheduler.go: no array for the arguments.
  const n = arguments.length - 1;
  if (n <= 1) return new Goroutine(currentScheduler().newg(f, n, arg, go, null));
  return goMany.apply(null, arguments as unknown as [never, ...unknown[]]);
}

function goMany(f: (...args: never[]) => unknown, ...args: unknown[]): Goroutine {
  return currentScheduler().newproc(f, args, goMany);
}`;

const targets = [
  {
    file: "packages/scheduler/src/default.generated.ts",
    package: "@gort/scheduler",
    about:
      "Methods of the running goroutine's scheduler, in host code of the default scheduler, as functions.",
    object: "currentScheduler()",
    imports: [
      'import { currentScheduler, defaultScheduler } from "./default.ts";',
      'import { Goroutine } from "./goroutine.ts";',
      'import { stack as stackBelow } from "./traceback.ts";',
    ],
    sources: [
      { ...scheduler, part: "", methods: `${scheduler.methods} checkpoint` },
      {
        ...scheduler,
        file: "packages/scheduler/src/proc.ts",
        class: "RunLoop",
        part: "",
        methods: "shouldYield",
      },
    ],
    bodies: { ...bodies, main: bodies.main.replace("OBJECT", "defaultScheduler()") },
    whole: { go: goOfScheduler },
  },
  {
    file: "packages/runtime/src/methods.generated.ts",
    package: "@gort/runtime",
    about: "Methods of a runtime that are its parts' own.",
    class: "RuntimeMethods",
    object: "this",
    imports: [
      'import type { Profiler } from "@gort/profiling";',
      'import type { Scheduler } from "@gort/scheduler";',
      'import { stack as stackBelow } from "@gort/scheduler/internal";',
      'import type { TypedHeap } from "@gort/types";',
      ...taskImports,
    ],
    sources: [schedulerOfRuntime, types, profiler],
    bodies,
    replaced: { go: goOfRuntime("", "this.scheduler", "this.go") },
  },
  {
    file: "packages/runtime/src/default.generated.ts",
    package: "@gort/runtime",
    about: "Methods of the running goroutine's runtime, in host code of the default runtime, as functions.",
    object: "currentRuntime()",
    imports: [
      'import { stack as stackBelow } from "@gort/scheduler/internal";',
      'import { currentRuntime, defaultRuntime } from "./default.ts";',
      ...taskImports,
    ],
    sources: [schedulerOfRuntime, types, profiler, runtime],
    bodies: {
      ...bodies,
      main: bodies.main.replace("OBJECT", "defaultRuntime().scheduler"),
    },
    replaced: { go: goOfRuntime("export function ", "currentRuntime().scheduler", "go") },
  },
];

/** A class as its source has it: the text of its methods' signatures, and where the types in them come from. */
class ClassSource {
  constructor(source) {
    this.source = source;
    const text = readFileSync(join(root, source.file), "utf8");
    this.ast = ts.createSourceFile(source.file, text, ts.ScriptTarget.Latest, true);
    /** Module specifier of each imported name; "" for a name that the file declares. */
    this.origins = new Map();
    for (const s of this.ast.statements) {
      if (ts.isImportDeclaration(s)) {
        const { namedBindings } = s.importClause ?? {};
        if (namedBindings === undefined || !ts.isNamedImports(namedBindings)) continue;
        for (const { name } of namedBindings.elements) this.origins.set(name.text, s.moduleSpecifier.text);
      } else if (s.name !== undefined) {
        this.origins.set(s.name.text, "");
      }
      if (ts.isClassDeclaration(s) && s.name?.text === source.class) this.node = s;
    }
    if (this.node === undefined) throw new Error(`${source.file} has no class ${source.class}`);
  }

  /** The method's docs and signature. Of an overloaded method, the first signature counts. */
  method(name) {
    const member = this.node.members.find((m) => m.name?.text === name);
    const f = member !== undefined && ts.isPropertyDeclaration(member) ? member.initializer : member;
    if (f === undefined || !(ts.isMethodDeclaration(f) || ts.isArrowFunction(f)) || f.type === undefined) {
      throw new Error(`${this.source.class} has no method ${name} with a declared type`);
    }
    const text = (node) => node.getText(this.ast);
    const docs = ts.getJSDocCommentsAndTags(member).filter(ts.isJSDoc).map(text);
    if (docs.length === 0) throw new Error(`${this.source.class}.${name} has no docs`);
    const typeNames = (f.typeParameters ?? []).map((p) => p.name.text);
    return {
      name,
      docs: docs.join("\n").replace(/\n\s*/g, "\n "),
      typeParameters: f.typeParameters === undefined ? "" : `<${f.typeParameters.map(text).join(", ")}>`,
      typeArguments: typeNames.length === 0 ? "" : `<${typeNames.join(", ")}>`,
      parameters: f.parameters.map((p) => this.parameter(p)).join(", "),
      args: f.parameters.map((p) => `${p.dotDotDotToken ? "..." : ""}${text(p.name)}`).join(", "),
      type: text(f.type),
      names: this.typeNames([...(f.typeParameters ?? []), ...f.parameters, f.type], new Set(typeNames)),
    };
  }

  /** A default that needs other code than the parameters becomes the method's business. */
  parameter(p) {
    if (p.initializer === undefined || ts.isNumericLiteral(p.initializer) || ts.isIdentifier(p.initializer)) {
      return p.getText(this.ast);
    }
    return `${p.name.getText(this.ast)}?: ${p.type.getText(this.ast)}`;
  }

  typeNames(nodes, own) {
    const found = new Set();
    const visit = (node) => {
      const name = ts.isTypeReferenceNode(node)
        ? node.typeName
        : ts.isTypeQueryNode(node)
          ? node.exprName
          : undefined;
      if (name !== undefined && ts.isIdentifier(name) && !own.has(name.text) && this.origins.has(name.text)) {
        found.add(name.text);
      }
      ts.forEachChild(node, visit);
    };
    for (const node of nodes) visit(node);
    return found;
  }

  /** Where a file of `target` imports the type from. */
  origin(name, target) {
    const module = this.origins.get(name);
    if (this.source.package !== target.package) return module.startsWith("@") ? module : this.source.package;
    if (module.startsWith("@")) return module;
    const file = module === "" ? this.source.file : join(dirname(this.source.file), module);
    return `./${relative(dirname(target.file), file)}`;
  }
}

function render(target) {
  const imported = new Map();
  const out = [];
  for (const source of target.sources) {
    const from = new ClassSource(source);
    for (const name of source.methods.split(" ")) {
      const m = from.method(name);
      for (const type of m.names) imported.set(type, from.origin(type, target));
      out.push(`${m.docs}\n${functionText(target, source, m)}`);
    }
  }
  const body = out.join("\n\n");
  const modules = new Map();
  for (const [type, module] of imported) {
    // A special body imports some of the types as values.
    if (target.imports.some((line) => new RegExp(`\\b${type}\\b[^"]*from`).test(line))) continue;
    modules.set(module, [...(modules.get(module) ?? []), type]);
  }
  const lines = [...modules].map(
    ([module, names]) => `import type { ${names.sort().join(", ")} } from "${module}";`,
  );
  const imports = [...target.imports, ...lines].sort((a, b) => (a.split('"')[1] < b.split('"')[1] ? -1 : 1));
  const head = `// Derived by scripts/functions.mjs: do not edit.\n\n/** ${target.about} */\n${imports.join("\n")}\n\n`;
  if (target.class === undefined) return head + body;
  const parts =
    "abstract readonly scheduler: Scheduler; abstract readonly types: TypedHeap; abstract readonly profiler: Profiler;";
  return `${head}export abstract class ${target.class} {\n${parts}\n\n${body}\n}\n`;
}

function functionText(target, source, m) {
  const signature = `${m.name}${m.typeParameters}(${m.parameters}): ${m.type}`;
  const start = target.class === undefined ? `export function ${signature}` : signature;
  if (target.replaced?.[m.name] !== undefined) return target.replaced[m.name];
  if (target.whole?.[m.name] !== undefined) return start + target.whole[m.name];
  const object = target.object + source.part;
  const self = target.class === undefined ? m.name : `this.${m.name}`;
  const special = target.bodies[m.name]?.replaceAll("OBJECT", object).replaceAll("SELF", self);
  const call = `${object}.${m.name}${m.typeArguments}(${m.args});`;
  return `${start} { ${special ?? (m.type === "void" ? call : `return ${call}`)} }`;
}

function format(text) {
  const biome = join(root, "node_modules/.bin/biome");
  // The name is that of no generated file, which biome passes over.
  return execFileSync(biome, ["format", "--stdin-file-path", "functions.ts"], {
    cwd: root,
    input: text,
    encoding: "utf8",
  });
}

let stale = 0;
for (const target of targets) {
  const path = join(root, target.file);
  const text = format(render(target));
  if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
  if (process.argv.includes("--check")) {
    console.error(`${target.file} is out of date: run node scripts/functions.mjs`);
    stale++;
  } else {
    writeFileSync(path, text);
    console.log(`wrote ${target.file}`);
  }
}
process.exitCode = stale > 0 ? 1 : 0;
