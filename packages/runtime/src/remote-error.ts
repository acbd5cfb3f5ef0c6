/**
 * Errors that pass from one thread to another. A structured clone would keep neither the class of an error of the
 * runtime nor its code. So the sender describes the error, and the receiver makes one of the same class with the
 * sender's stack.
 */
import { BoundsError, FatalError, PlainError, RuntimeError, show, TypeAssertionError } from "@gort/base";
import { PanicError } from "@gort/scheduler/internal";

/** An error as a message carries it. */
export interface RemoteError {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  /** Own properties: `code` and others that are no objects. */
  readonly properties: Readonly<Record<string, unknown>>;
  readonly cause: RemoteError | null;
  /** Of a panic whose value is no Error: the value, or undefined if a message cannot carry it. */
  readonly value?: unknown;
}

type ErrorClass = new (message: string) => Error;
const hostClasses: readonly ErrorClass[] = [
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
];
const runtimeClasses = [RuntimeError, PlainError, BoundsError, TypeAssertionError];

/** Longest chain of causes that is kept. */
const MAX_CAUSES = 8;

export function describeError(error: unknown, depth = 0): RemoteError {
  if (!(error instanceof Error)) {
    const message = show(error);
    return { name: "Error", message, stack: "", properties: {}, cause: null, value: carried(error) };
  }
  const { name, message, stack, cause } = error;
  const properties: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(error)) {
    if (typeof value !== "object" && typeof value !== "function" && typeof value !== "symbol") {
      properties[key] = value;
    }
  }
  return {
    name: String(name),
    message: String(message),
    stack: typeof stack === "string" ? stack : "",
    properties,
    cause: cause === undefined || depth === MAX_CAUSES ? null : describeError(cause, depth + 1),
    ...(error instanceof PanicError ? { value: carried(error.value) } : {}),
  };
}

/** The value if a message can carry it. */
function carried(value: unknown): unknown {
  try {
    return structuredClone(value);
  } catch {
    return undefined;
  }
}

/** The error that `describeError` has described. */
export function errorOf(remote: RemoteError): Error {
  const error = newError(remote);
  const { stack, properties, cause } = remote;
  for (const [key, value] of Object.entries(properties)) {
    Object.defineProperty(error, key, { value, configurable: true, writable: true, enumerable: true });
  }
  if (stack !== "")
    Object.defineProperty(error, "stack", { value: stack, configurable: true, writable: true });
  if (cause !== null) {
    Object.defineProperty(error, "cause", { value: errorOf(cause), configurable: true, writable: true });
  }
  return error;
}

function newError({ name, message, properties, value }: RemoteError): Error {
  const { kind, code, goType } = properties;
  if (name === "FatalError" && typeof code === "string") {
    return new FatalError(kind === "throw" ? "throw" : "fatal", code, message);
  }
  if (typeof goType === "string") {
    const error = new RuntimeError(message, String(code), goType);
    // Their constructors make the message from other arguments.
    const own = runtimeClasses.find((c) => c.name === name) ?? RuntimeError;
    return Object.setPrototypeOf(error, own.prototype) as Error;
  }
  if (name === "PanicError") return new PanicError(value, message);
  const own = hostClasses.find((c) => c.name === name) ?? Error;
  const error = new own(message);
  if (error.name !== name)
    Object.defineProperty(error, "name", { value: name, configurable: true, writable: true });
  return error;
}
