/**
 * `clone(x)`: a value of JavaScript for a task on another thread, as a structured clone. The copy is made at once: a
 * later change of `x` does not matter, and one clone may go to many tasks. Each of them gets a value of its own.
 *
 * The bytes are those of the host (`#cloner`): V8's serializer in Node, a library in browsers. Neither copies what
 * belongs to one thread: functions, symbols, promises. A Ref or a Slice inside of the value would lose its meaning, so
 * `clone` looks for them first. For that it reads each property once more.
 */
import { handleName } from "@gort/types/internal";
import { fromBytes, toBytes } from "#cloner";
import { HANDLE, isHeapHandle } from "./handles.ts";

/** The key of the bytes: two copies of this package know each other's clones. */
const BYTES: unique symbol = Symbol.for("gort.clone") as never;

/** A value that `clone` has copied. As the argument of a task, the task gets the T. */
export class Cloned<T> {
  /** Exists only for TypeScript. */
  declare protected readonly value: T;
  /** @internal */
  readonly [BYTES]: Uint8Array;

  constructor(bytes: Uint8Array) {
    this[BYTES] = bytes;
  }

  toString(): string {
    return `Cloned(${this[BYTES].length} bytes)`;
  }
}

/**
 * Copies a value, so that a task on any thread can get it: `go(t, clone({ name: "x", list: [1, 2] }))`. What can be
 * copied is what structured clone copies: plain objects, arrays, `Map`, `Set`, `Date`, `RegExp`, typed arrays, errors,
 * with cycles. Of an object with a class, the properties are copied.
 *
 * @throws TypeError for functions, symbols, promises and other values of one thread, and for values of the heap, which
 *   go to a task as they are
 */
export function clone<T>(value: T): Cloned<T> {
  refuseHandles(value);
  try {
    return new Cloned<T>(toBytes(value));
  } catch (err) {
    if (!isCloneError(err)) throw err;
    throw new TypeError(`threads: clone can't copy the value: ${firstLine(err.message)}`, { cause: err });
  }
}

/** The bytes of a result of `clone`; null for any other value. It reads a property of `x`, which may run its code. */
export function clonedBytes(x: unknown): Uint8Array | null {
  if (typeof x !== "object" || x === null) return null;
  const bytes = (x as Partial<Cloned<unknown>>)[BYTES];
  return bytes instanceof Uint8Array ? bytes : null;
}

/** The value of the bytes of a clone. */
export function fromClone(bytes: Uint8Array): unknown {
  return fromBytes(bytes);
}

/** Whether the error says that a value can't be cloned; the error of a getter is the program's own. */
function isCloneError(err: unknown): err is Error {
  if (!(err instanceof Error)) return false;
  return (
    err.name === "DataCloneError" ||
    err.name === "DevalueError" ||
    / could not be cloned\.$/.test(err.message)
  );
}

/** V8's message quotes the whole source of a function. */
function firstLine(message: string): string {
  const line = message.split("\n", 1)[0];
  return line.length <= 80 ? line.replace(/\.$/, "") : `${line.slice(0, 80)}...`;
}

/** Throws for a value of the heap anywhere in `value`: the copy would be an object without meaning. */
function refuseHandles(value: unknown): void {
  const seen = new Set<unknown>();
  const open: unknown[] = [];
  const add = (x: unknown): void => {
    if (typeof x === "object" && x !== null && !seen.has(x)) {
      seen.add(x);
      open.push(x);
    }
  };
  add(value);
  while (open.length > 0) {
    const x = open.pop() as object;
    const name = handleName(x) ?? (isHeapHandle(x) ? x[HANDLE]().name : null);
    if (name !== null) {
      const where = x === value ? "pass it as it is" : "pass it as an argument of its own";
      throw new TypeError(`threads: clone can't copy a value of the heap: ${where} (got ${name})`);
    }
    if (ArrayBuffer.isView(x)) continue;
    if (x instanceof Map || x instanceof Set) {
      x.forEach((item: unknown, key: unknown) => {
        add(item);
        add(key);
      });
    } else if (Array.isArray(x)) for (let i = 0; i < x.length; i++) add(x[i]);
    else for (const key of Object.keys(x)) add((x as Record<string, unknown>)[key]);
  }
}
