/** The errors that only goroutines have. The others are those of `@gort/base`. */
import { named, RuntimeError } from "@gort/base";

/** A call that a closed scheduler cannot serve. */
export function usedAfterClose(what: string): TypeError {
  return new TypeError(`scheduler: use of a scheduler after its close (${what})`);
}

/** The end of an error text about an object of another copy of the package. */
export const otherCopy =
  "belongs to another copy of @gort/scheduler: install one version, and bundle it once";

/** `panic(null)`: a panic must have a value, or `recover()` could not tell it from none. */
export class PanicNilError extends RuntimeError {
  constructor() {
    super("runtime error: panic called with nil argument", "ERR_GORT_PANIC_NIL", "*runtime.PanicNilError");
  }
}
named(PanicNilError, "PanicNilError");

/**
 * Carries a panic whose value is no `Error` (`panic("boom")`, or `throw 3` in a goroutine), so that it has a
 * stack and can reject a promise. `recover()` returns `value`, never the wrapper.
 */
export class PanicError extends Error {
  readonly code = "ERR_GORT_PANIC";
  readonly value: unknown;

  /** `message` may be a function, which is called when the text is first asked for. */
  constructor(value: unknown, message: string | (() => string)) {
    super(typeof message === "string" ? message : undefined);
    this.value = value;
    if (typeof message === "string") return;
    const set = (text: string): void => {
      Object.defineProperty(this, "message", { value: text, configurable: true, writable: true });
    };
    Object.defineProperty(this, "message", {
      get: () => {
        const text = message();
        set(text);
        return text;
      },
      set,
      configurable: true,
    });
  }
}
named(PanicError, "PanicError");

/**
 * Thrown by `goexit()` to unwind a goroutine. It is no error: `recover()` ignores it, and a `catch` that
 * meets it should throw it on. One instance serves all, since it carries nothing.
 */
export class GoexitSignal {
  readonly code = "ERR_GORT_GOEXIT";
  toString(): string {
    return "runtime.Goexit";
  }
}
