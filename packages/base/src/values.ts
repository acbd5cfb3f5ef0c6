/** Values as error messages name them, and the tests for arguments that several packages share. */

/** The kind of a value in an error message: `null`, `string`, `Uint8Array`. Never throws, even if code of `x` does. */
export function kindOf(x: unknown): string {
  if (x === null) return "null";
  if (typeof x !== "object") return typeof x;
  try {
    const name: unknown = x.constructor.name;
    return typeof name === "string" && name !== "" ? name : "object";
  } catch {
    return "object";
  }
}

/** Longest string that a message quotes whole. */
const MAX_QUOTED = 20;

/** A value in an error message: `-8`, `5n`, `"abc"`, `Uint8Array`. Never throws, even if code of `x` does. */
export function show(x: unknown): string {
  switch (typeof x) {
    case "string":
      return JSON.stringify(x.length > MAX_QUOTED ? `${x.slice(0, MAX_QUOTED)}...` : x);
    case "bigint":
      return `${x}n`;
    case "function":
      return "a function";
    case "object":
      return kindOf(x);
    default:
      return String(x);
  }
}

/** The error for a value that breaks a rule for numbers, such as `seed must be a whole number`. */
export function wrongNumber(who: string, got: unknown, rule: string): TypeError | RangeError {
  const text = `${who}: ${rule} (got ${show(got)})`;
  return typeof got === "number" ? new RangeError(text) : new TypeError(text);
}

const generatorNext: unknown = (Object.getPrototypeOf(function* () {}) as GeneratorFunction).prototype.next;

/**
 * Reports whether `x` is a generator, from this realm or another, or an object with a generator's methods: a wrapper of
 * a generator, or the generator of a compiler for old targets. The iterators of a `Map`, an array or a string have no
 * `throw` and are none; async generators are none.
 */
export function isGenerator(x: unknown): x is Generator<undefined, unknown, unknown> {
  // `in` comes first: proxies such as those of assertion libraries throw when a missing property is read.
  if (typeof x !== "object" || x === null || !("next" in x)) return false;
  if (x.next === generatorNext) return true;
  return (
    typeof x.next === "function" &&
    "throw" in x &&
    typeof x.throw === "function" &&
    !(Symbol.asyncIterator in x)
  );
}
