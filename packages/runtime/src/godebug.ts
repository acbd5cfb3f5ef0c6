/**
 * The debug switches: one table feeds the parser, the types and the documentation. A package has the rows of its
 * own switches. This file has those of the facade, and the table of all switches.
 *
 * Names that gort does not know are reported once, because a misspelt switch that does nothing costs its user an
 * afternoon.
 */
import { parseSwitches, type SwitchInfo, type SwitchValues, switchDefaults } from "@gort/base";
import { GODEBUG_SWITCHES } from "@gort/gc/internal";
import { debugSwitches as schedulerSwitches } from "@gort/scheduler/internal";

export type { SwitchInfo };

export const debugSwitches = [
  ...GODEBUG_SWITCHES,
  {
    name: "hostgc",
    default: 1,
    meaning: "0: the JavaScript engine is never made to collect the references that the program has dropped",
  },
  {
    name: "memprofilerate",
    default: 524288,
    meaning: "bytes between two heap profile samples; 0 off, 1 all",
  },
  { name: "scavtrace", default: 0, meaning: "1: a line about memory given back to the system at each cycle" },
  ...schedulerSwitches,
] as const satisfies readonly SwitchInfo[];

export type DebugSwitch = (typeof debugSwitches)[number]["name"];

/** The value of every switch; a switch that was not set has its default. */
export type Godebug = SwitchValues<typeof debugSwitches>;

const known = new Set<string>(debugSwitches.map((s) => s.name));
const reported = new Set<string>();

/** The switches with their defaults. */
export function defaultGodebug(): Godebug {
  return switchDefaults(debugSwitches);
}

/**
 * The switches as an object gives them, the others with their defaults.
 *
 * @throws TypeError for an unknown name or a value that is no integer: in code, unlike in an environment that other
 *   programs share, it is a mistake
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
 * @param text a comma-separated list like `gctrace=1,schedtrace=1000`; empty items are skipped
 * @param warn receives one line for each unknown name (once in a process) or value that is no integer; the
 *   switch then keeps its value
 */
export function parseGodebug(text: string, warn: (line: string) => void): Godebug {
  return parseSwitches(debugSwitches, text, {
    unknown(name) {
      if (reported.has(name)) return;
      reported.add(name);
      warn(`GODEBUG: unknown switch ${JSON.stringify(name)} is ignored`);
    },
    malformed: (name, value, kept) =>
      warn(`GODEBUG: ${name} needs an integer (got ${JSON.stringify(value)}); ${kept} is kept`),
  });
}
