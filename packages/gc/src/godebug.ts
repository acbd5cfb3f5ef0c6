/**
 * Debug switches: rows of name, default and meaning, from which come the parser, the types and the page of the
 * documentation. Each package has the rows of its own switches; the facade's table is all of them.
 *
 * GODEBUG is a comma-separated list of `name=value` pairs; of a name given twice the last one counts, as in Go.
 */

export interface SwitchInfo {
  /** Name as Go spells it. */
  readonly name: string;
  /** Value when the list does not mention it. */
  readonly default: number;
  /** What it does, in one sentence. */
  readonly meaning: string;
}

/** The collector's. The names are Go's, except `gcstress`, which Go spells as a build of its own. */
export const GODEBUG_SWITCHES = [
  {
    name: "gctrace",
    default: 0,
    meaning: "1: a line at the end of each collection; 2: with scan figures per size class",
  },
  { name: "gcpacertrace", default: 0, meaning: "1: what the pacer decided at each cycle" },
  { name: "gccheckmark", default: 0, meaning: "1: every mark phase is verified by a second, naive one" },
  {
    name: "gcstoptheworld",
    default: 0,
    meaning: "1: the whole mark phase stops the world; 2: the sweep too",
  },
  { name: "gcstress", default: 0, meaning: "1: a full collection at every safepoint" },
  {
    name: "clobberfree",
    default: 0,
    meaning: "1: freed memory is overwritten, so that a stale pointer shows",
  },
  {
    name: "allocfreetrace",
    default: 0,
    meaning:
      "1: the use of a freed object is reported with the stacks that allocated and freed it; implies memprofilerate=1",
  },
  {
    name: "invalidptr",
    default: 1,
    meaning: "1: a pointer into a free span found while marking is a fatal error",
  },
] as const satisfies readonly SwitchInfo[];

export type GodebugSwitch = (typeof GODEBUG_SWITCHES)[number]["name"];

/** The value of every switch of some rows. */
export type SwitchValues<Rows extends readonly SwitchInfo[]> = Record<Rows[number]["name"], number>;

/** The value of every switch. Mutable: tests and debuggers may turn a switch while the collector is off. */
export type Godebug = SwitchValues<typeof GODEBUG_SWITCHES>;

/** Hears of what a list has and no switch takes. */
export interface SwitchErrors {
  /** No row has the name. */
  unknown(name: string): void;
  /** The value is no integer; the switch stays as it is, `kept`. */
  malformed(name: string, value: string, kept: number): void;
}

/** The defaults of the rows. */
export function switchDefaults<const Rows extends readonly SwitchInfo[]>(rows: Rows): SwitchValues<Rows> {
  return Object.fromEntries(rows.map((s) => [s.name, s.default])) as SwitchValues<Rows>;
}

/** The values that a list like `gctrace=1,schedtrace=1000` gives the switches; empty items are passed over. */
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

/** The collector's switches out of GODEBUG's text; the names of others, and what is no integer, are passed over. */
export function parseGodebug(text = ""): Godebug {
  return parseSwitches(GODEBUG_SWITCHES, text);
}
