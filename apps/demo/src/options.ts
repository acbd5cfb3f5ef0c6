/** Options of the demo's programs. One declaration serves for the help and for reading the option. */

export interface OptionSpec {
  /** In cac's notation: `--steps <n>`. */
  flags: string;
  about: string;
}

export type Given = Readonly<Record<string, unknown>>;

export class OptionError extends Error {
  override name = "OptionError";
}

/** The option as a number of at least `min`; `fallback` if it is not given. Throws an OptionError for other values. */
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

/** The option as one of `choices`; undefined if it is not given. Throws an OptionError for other values. */
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
