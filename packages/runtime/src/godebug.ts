/**
 * The debug switches: one table feeds the parser, the types and the documentation.
 *
 * GODEBUG is a comma-separated list of `name=value` pairs; when a name stands twice the last one counts,
 * as in Go. Names that gort does not know are reported once, because a misspelt switch that does nothing
 * costs its user an afternoon.
 */

export interface SwitchInfo {
  /** Name as Go spells it. */
  readonly name: string;
  /** Value when the variable does not mention it. */
  readonly default: number;
  /** What it does, in one sentence. */
  readonly meaning: string;
}

export const debugSwitches = [
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
  {
    name: "memprofilerate",
    default: 524288,
    meaning: "bytes between two heap profile samples; 0 off, 1 all",
  },
  { name: "scavtrace", default: 0, meaning: "1: a line about memory given back to the system at each cycle" },
  { name: "schedtrace", default: 0, meaning: "X > 0: the state of the scheduler every X milliseconds" },
  { name: "scheddetail", default: 0, meaning: "1: schedtrace shows every P, M and G" },
  { name: "sysmon", default: 0, meaning: "1: a line about each goroutine that ran long without yielding" },
  {
    name: "tracebackancestors",
    default: 0,
    meaning: "N > 0: dumps show the creators of a goroutine, N levels",
  },
] as const satisfies readonly SwitchInfo[];

export type DebugSwitch = (typeof debugSwitches)[number]["name"];

/** The value of every switch; a switch that was not set has its default. */
export type Godebug = Record<DebugSwitch, number>;

const known = new Set<string>(debugSwitches.map((s) => s.name));
const reported = new Set<string>();

/** The switches with their defaults. */
export function defaultGodebug(): Godebug {
  return Object.fromEntries(debugSwitches.map((s) => [s.name, s.default])) as Godebug;
}

/**
 * The switches as an object gives them, the others with their defaults.
 *
 * @throws TypeError for an unknown name or a value that is no integer: in code, unlike in an environment that other programs
 *   share, it is a mistake
 */
export function checkGodebug(switches: Partial<Godebug>): Godebug {
  const result = defaultGodebug();
  for (const [name, value] of Object.entries(switches)) {
    if (!known.has(name)) throw new TypeError(`runtime: godebug has no switch ${JSON.stringify(name)}`);
    if (value === undefined) continue;
    if (!Number.isInteger(value)) {
      throw new TypeError(`runtime: godebug.${name} must be an integer (got ${String(value)})`);
    }
    result[name as DebugSwitch] = value;
  }
  return result;
}

/**
 * Parses a GODEBUG value.
 *
 * @param text a comma-separated list like `gctrace=1,schedtrace=1000`; empty items are passed over
 * @param warn receives one line for each unknown name (once in a process) or value that is no integer; the
 *   switch then keeps its default
 */
export function parseGodebug(text: string, warn: (line: string) => void): Godebug {
  const result = defaultGodebug();
  for (const item of text.split(",")) {
    if (item.trim() === "") continue;
    const eq = item.indexOf("=");
    const name = (eq < 0 ? item : item.slice(0, eq)).trim();
    const value = eq < 0 ? "" : item.slice(eq + 1).trim();
    if (!known.has(name)) {
      if (!reported.has(name)) {
        reported.add(name);
        warn(`GODEBUG: unknown switch ${JSON.stringify(name)} is ignored`);
      }
      continue;
    }
    if (!/^-?\d+$/.test(value)) {
      warn(
        `GODEBUG: ${name} needs an integer (got ${JSON.stringify(value)}); ${result[name as DebugSwitch]} is kept`,
      );
      continue;
    }
    result[name as DebugSwitch] = Number(value);
  }
  return result;
}
