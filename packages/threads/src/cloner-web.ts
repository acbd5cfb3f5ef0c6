/**
 * The bytes of a structured clone in browsers, which have no function that gives them. `devalue` writes a text with
 * cycles, repeated parts, holes, NaN, bigints, dates, regular expressions, maps, sets and typed arrays. The reducers
 * add what it refuses and a structured clone copies: errors, and objects with a class of their own, of which their
 * properties are copied.
 *
 * cloner-node.ts is its twin. Unlike there, an own property `__proto__` and properties of an array are not copied: the
 * former is an error, the latter are left out.
 */
import { parse, stringify } from "devalue";

const encoder = new TextEncoder();
// Without ignoreBOM the decoder drops a byte order mark at the beginning.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The classes of errors that a structured clone keeps. Others become Error. */
const errorClasses = new Map<string, ErrorConstructor>(
  [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((c) => [c.name, c]),
);

const reducers = {
  Error(x: unknown): unknown {
    if (!(x instanceof Error)) return false;
    const { name, message, stack } = x;
    return [name, message, stack, "cause" in x ? [x.cause] : []];
  },
  /** An object with a class: devalue knows plain objects, and the host's own classes. */
  Instance(x: unknown): unknown {
    if (typeof x !== "object" || x === null || Array.isArray(x)) return false;
    const proto: unknown = Object.getPrototypeOf(x);
    if (proto === null || proto === Object.prototype) return false;
    return Object.prototype.toString.call(x) === "[object Object]" && { ...x };
  },
};

const revivers = {
  Error([name, message, stack, cause]: [string, string, string | undefined, unknown[]]): Error {
    const Class = errorClasses.get(name) ?? Error;
    const error = new Class(message, cause.length > 0 ? { cause: cause[0] } : undefined);
    Object.defineProperty(error, "stack", { value: stack, writable: true, configurable: true });
    return error;
  },
  Instance: (properties: object): object => properties,
};

/** @throws Error if the value has a part that can't be cloned; also what a getter of the value throws */
export function toBytes(value: unknown): Uint8Array {
  return encoder.encode(stringify(value, reducers));
}

export function fromBytes(bytes: Uint8Array): unknown {
  return parse(decoder.decode(bytes), revivers);
}
