/**
 * Go's names for JavaScript's functions.
 *
 * A module of JavaScript counts as a package of Go, and a name is `PACKAGE.FUNCTION`:
 *
 *   package        main                         the main module (the script that was run)
 *                  NAME/path/file               another module: package.json's name, path without extension
 *                  NAME/path                    an index file
 *                  runtime                      the runtime's own packages
 *                  node:fs                      Node's modules
 *                  js                           V8's built-in functions (js.Array.map)
 *                  wasm, eval                   code without a file
 *   function       F                            named, or named after the variable that it was assigned to
 *   method         (*T).M                       of an instance; T is the class that has the method
 *   static method  T.M
 *   constructor    (*T).constructor
 *   accessor       (*T).M-get, (*T).M-set
 *   initialiser    (*T).init, T.init            of the fields of instances, of the class
 *   module's body  init
 *   anonymous      OUTER.func1, OUTER.func1.2   numbered in source order inside the function around them,
 *                                               a closure in a closure adding only its number
 *                  init.func1                   at a module's top level
 *                  func@LINE:COLUMN             if the source cannot be read
 *
 * Dots in the last element of a package are written %2e, as in Go. So the first dot after the last slash always ends
 * the package.
 *
 * Unlike Go: a package is one module, not a folder, because two modules of one folder may each have a private `helper`.
 * And a closure with a name keeps it, because V8 shows that name everywhere else.
 */
import { MAX_PATH_LENGTH, readTextFile } from "./files.ts";
import { basename, builtin, dirname, toPath } from "./host.ts";

/** The packages of the runtime: their functions are `runtime.F`. */
const RUNTIME_PACKAGES =
  /^@gort\/(base|memory|allocator|gc|types|scheduler|profiling|memstats|threads|runtime)$/;

/** A package.json larger than this is not read. */
const MAX_MANIFEST_BYTES = 1 << 20;

interface PackageRoot {
  dir: string;
  name: string;
}

export interface PackageNamesOptions {
  /** The main module's path or URL; default: the script with which Node was started. */
  mainModule?: string | undefined;
  /** Whether a source file is the runtime's own. `PackageNames` calls it before it applies its own rule. */
  isRuntime?: ((file: string) => boolean) | undefined;
}

/** The package to which a source file belongs. Answers are cached. */
export class PackageNames {
  private readonly names = new Map<string, string>();
  private readonly roots = new Map<string, PackageRoot | null>();
  private main: string | undefined;

  constructor(private readonly options: PackageNamesOptions = {}) {
    if (options.mainModule !== undefined) this.main = toPath(options.mainModule);
  }

  /** The main module's path, with symbolic links resolved as Node does. */
  get mainModule(): string | undefined {
    if (this.main === undefined) {
      const script = (globalThis as { process?: { argv?: string[] } }).process?.argv?.[1];
      if (script === undefined) return undefined;
      try {
        this.main = builtin("node:fs")?.realpathSync(script) ?? script;
      } catch {
        this.main = script;
      }
    }
    return this.main;
  }

  set mainModule(file: string | undefined) {
    this.main = file === undefined ? undefined : toPath(file);
    this.names.clear();
  }

  /**
   * The package of `file`, the source. `script` is the JavaScript to which it was compiled; without a source map, the
   * same.
   */
  packageOf(file: string, script: string): string {
    const key = file === script ? file : `${file}\n${script}`;
    let name = this.names.get(key);
    if (name === undefined) {
      name = this.find(file, script);
      this.names.set(key, name);
    }
    return name;
  }

  private find(file: string, script: string): string {
    if (file.startsWith("node:")) return file;
    if (file.startsWith("wasm:")) return "wasm";
    if (this.options.isRuntime?.(file) === true) return "runtime";
    const root = this.rootOf(file);
    if (root !== null && RUNTIME_PACKAGES.test(root.name)) {
      const within = file.slice(root.dir.length + 1);
      if (/^(src|dist)[\\/]/.test(within)) return "runtime";
    }
    const main = this.mainModule;
    if (main !== undefined && (file === main || (script === main && stem(file) === stem(main))))
      return "main";
    const base = root === null ? shortPath(file) : `${root.name}/${file.slice(root.dir.length + 1)}`;
    return escapeLast(withoutIndex(stripExtension(base.replaceAll("\\", "/"))));
  }

  /** The nearest folder at or above the file that has a package.json with a name. */
  private rootOf(file: string): PackageRoot | null {
    if (file.length > MAX_PATH_LENGTH || !/^(?:[/\\]|[a-z]:[/\\])/i.test(file)) return null;
    const seen: string[] = [];
    let root: PackageRoot | null = null;
    for (let dir = dirname(file); ; dir = dirname(dir)) {
      const known = this.roots.get(dir);
      if (known !== undefined) {
        root = known;
        break;
      }
      seen.push(dir);
      try {
        const manifest = readTextFile(`${dir}/package.json`, MAX_MANIFEST_BYTES);
        const name: unknown = manifest === undefined ? undefined : JSON.parse(manifest).name;
        if (typeof name === "string" && name !== "") {
          root = { dir, name };
          break;
        }
      } catch {
        // The file is no JSON: look further up.
      }
      if (dir === "" || dirname(dir) === dir) break;
    }
    for (const dir of seen) this.roots.set(dir, root);
    return root;
  }
}

/** A file's name without folder and extension. */
function stem(file: string): string {
  return stripExtension(basename(file));
}

function stripExtension(path: string): string {
  return path.replace(/\.(?:[cm]?[jt]sx?|vue|svelte)$/, "");
}

function withoutIndex(path: string): string {
  return path.endsWith("/index") ? path.slice(0, -6) : path;
}

/** Folder and file, for a file outside of any package. */
function shortPath(file: string): string {
  const parts = file.split(/[\\/]/).filter((part) => part !== "");
  return parts.slice(-2).join("/");
}

function escapeLast(path: string): string {
  const at = path.lastIndexOf("/") + 1;
  return path.slice(0, at) + path.slice(at).replaceAll(".", "%2e");
}

/** The facts that V8 gives about a function's name. */
export interface V8Name {
  functionName: string;
  typeName: string;
  isConstructor: boolean;
  /** The module's own body. */
  isModule: boolean;
}

/**
 * The FUNCTION part of a name, from V8's facts alone; "" for an anonymous function. `typeName` is the class of the
 * receiver. For an inherited method that is the derived class; where the source can be read, `source-functions.ts`
 * finds the class that declares the method.
 */
export function functionNameOf(v8: V8Name): string {
  let name = v8.functionName;
  // In an error's text, an anonymous function may be a method: "Array.<anonymous>".
  if (name === "" || name === "<anonymous>" || name.endsWith(".<anonymous>"))
    return v8.isModule ? "init" : "";
  if (v8.isConstructor) return `(*${lastElement(name)}).constructor`;
  const type = v8.typeName;
  if (name === "<instance_members_initializer>") return type === "" ? "init" : `(*${type}).init`;
  if (name === "<static_initializer>") return type === "" || type === "Function" ? "init" : `${type}.init`;
  let suffix = "";
  const accessor = /^(get|set) (.*)$/.exec(name);
  if (accessor !== null) {
    name = accessor[2]!;
    suffix = `-${accessor[1]}`;
  }
  // "Foo.bar" is V8's inferred name for Foo.prototype.bar = function. Newer V8s write "Foo.static" for a static method.
  const dot = name.lastIndexOf(".");
  if (dot > 0 && name[0] !== "[") {
    const owner = lastElement(name.slice(0, dot));
    const own = name.slice(dot + 1);
    return owner === type ? `(*${owner}).${own}${suffix}` : `${owner}.${own}${suffix}`;
  }
  if (type === "" || type === "Object" || type === "Function" || type === "Module") return name + suffix;
  return `(*${type}).${name}${suffix}`;
}

function lastElement(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}
