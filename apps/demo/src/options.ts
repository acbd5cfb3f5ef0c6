/** Options of the demo's programs: declared once, for help and for reading them. */

export interface OptionSpec {
  /** As cac takes it: `--steps <n>`. */
  flags: string;
  about: string;
}

export type Given = Readonly<Record<string, unknown>>;

export class OptionError extends Error {
  override name = "OptionError";
}

/** A number of at least `min`; `fallback` when the option is not given. */
export function numberOption(
  given: Given,
  name: string,
  fallback: number,
  min: number,
  whole = false,
): number {
  const value = given[name] ?? fallback;
  if (
    typeof value !== "number" ||
    !(value >= min) ||
    value === Number.POSITIVE_INFINITY ||
    (whole && !Number.isSafeInteger(value))
  ) {
    const kind = whole ? "a whole number" : "a number";
    throw new OptionError(`--${name} must be ${kind} from ${min} (got ${JSON.stringify(value)})`);
  }
  return value;
}

/** One of `choices`, or undefined when the option is not given. */
export function choiceOption<T extends string>(
  given: Given,
  name: string,
  choices: readonly T[],
): T | undefined {
  const value = given[name];
  if (value === undefined) return undefined;
  const found = choices.find((c) => c === value);
  if (!found)
    throw new OptionError(`--${name} must be one of ${choices.join(", ")} (got ${JSON.stringify(value)})`);
  return found;
}

export function fileOption(given: Given, name: string): string | undefined {
  return given[name] === undefined ? undefined : String(given[name]);
}
