/**
 * Debug switches. A table of rows (name, default, meaning) feeds the parser, the types and the page of the
 * documentation. Each package has the table of its own switches; the table of the facade holds them all.
 *
 * GODEBUG is a comma-separated list of `name=value` pairs. If a name is given twice, the last value counts, as in Go.
 */

export interface SwitchInfo {
  /** Name as Go spells it. */
  readonly name: string;
  /** Value if the list does not mention the switch. */
  readonly default: number;
  /** What the switch does, in one sentence. */
  readonly meaning: string;
}

/** The value of every switch of a table. */
export type SwitchValues<Rows extends readonly SwitchInfo[]> = Record<Rows[number]["name"], number>;

/** Receives the items of a list that set no switch. */
export interface SwitchErrors {
  /** No row has the name. */
  unknown(name: string): void;
  /** The value is no integer. The switch keeps its value, `kept`. */
  malformed(name: string, value: string, kept: number): void;
}

/** Each switch of a table with its default. */
export function switchDefaults<const Rows extends readonly SwitchInfo[]>(rows: Rows): SwitchValues<Rows> {
  return Object.fromEntries(rows.map((s) => [s.name, s.default])) as SwitchValues<Rows>;
}

/**
 * The switches of a table as the list `text` sets them (`gctrace=1,schedtrace=1000`); switches that it does not mention
 * have their defaults. Empty items are allowed. Without `errors`, unknown names and malformed values are ignored.
 */
export function parseSwitches<const Rows extends readonly SwitchInfo[]>(
  rows: Rows,
  text: string,
  errors?: SwitchErrors,
): SwitchValues<Rows> {
  const out: Record<string, number> = switchDefaults(rows);
  for (const item of text.split(",")) {
    if (item.trim() === "") continue;
    const eq = item.indexOf("=");
    const name = (eq < 0 ? item : item.slice(0, eq)).trim();
    const value = eq < 0 ? "" : item.slice(eq + 1).trim();
    if (!Object.hasOwn(out, name)) errors?.unknown(name);
    else if (/^[-+]?\d+$/.test(value) && Number.isSafeInteger(Number(value))) out[name] = Number(value);
    else errors?.malformed(name, value, out[name]);
  }
  return out as SwitchValues<Rows>;
}
