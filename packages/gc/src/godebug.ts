/**
 * The switches of `GODEBUG` that belong to the collector. One table feeds the parser, the type and the docs.
 * The names are Go's, except `gcstress`, which Go spells as a build of its own.
 */
export const GODEBUG_SWITCHES = {
  gctrace: {
    default: 0,
    meaning: "1 prints a line at the end of each collection; 2 adds what was scanned how",
  },
  gcpacertrace: {
    default: 0,
    meaning: "1 prints the pacer's state at the start and the end of each mark phase",
  },
  gcstoptheworld: {
    default: 0,
    meaning: "1 runs every collection in one stop of the world; 2 sweeps in that stop as well",
  },
  gccheckmark: { default: 0, meaning: "1 verifies every mark phase by a second, naive one" },
  clobberfree: { default: 0, meaning: "1 fills freed objects with a pattern, so that a stale pointer shows" },
  allocfreetrace: {
    default: 0,
    meaning:
      "1 keeps the stack of every allocation and free, and reports the use of a freed object with both; all objects are sampled",
  },
  gcstress: { default: 0, meaning: "1 runs a full collection at every safepoint" },
  invalidptr: {
    default: 1,
    meaning: "1 ends the program when a pointer into a free span is found while marking",
  },
} as const;

export type GodebugSwitch = keyof typeof GODEBUG_SWITCHES;

/** The value of every switch. Mutable: tests and debuggers may turn a switch while the collector is off. */
export type Godebug = { -readonly [K in GodebugSwitch]: number };

/**
 * Reads `GODEBUG=name=value,...`. Unknown names belong to others and are passed over; of a name given twice the last
 * wins; a value that is not an integer leaves the switch as it is, as in Go.
 */
export function parseGodebug(text = ""): Godebug {
  const out = {} as Godebug;
  for (const name of Object.keys(GODEBUG_SWITCHES) as GodebugSwitch[])
    out[name] = GODEBUG_SWITCHES[name].default;
  for (const field of text.split(",")) {
    const eq = field.indexOf("=");
    if (eq < 0) continue;
    const name = field.slice(0, eq).trim();
    const value = field.slice(eq + 1).trim();
    if (Object.hasOwn(GODEBUG_SWITCHES, name) && /^[-+]?\d+$/.test(value)) {
      out[name as GodebugSwitch] = Number(value);
    }
  }
  return out;
}
