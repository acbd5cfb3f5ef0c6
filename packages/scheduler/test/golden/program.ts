/** What the golden programs share: their type, and Go's text of values. */

export type Body<T = void> = Generator<undefined, T, unknown>;

export type Println = (...values: unknown[]) => void;

export type Program = (println: Println, now: () => number) => Body;

/** The text that Go's fmt gives a value. */
export function show(v: unknown): string {
  if (v === null || v === undefined) return "<nil>";
  if (Array.isArray(v)) return `[${v.map(show).join(" ")}]`;
  if (v instanceof Error) return v.message;
  return String(v);
}

export const lcg = (x: number) => Number((BigInt(x) * 1103515245n + 12345n) % 2147483648n);
