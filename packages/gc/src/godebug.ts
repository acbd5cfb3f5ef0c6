/** The debug switches of the collector. */
import { parseSwitches, type SwitchInfo, type SwitchValues } from "@gort/base";

/** Rows of the collector's switches. The names are Go's, except `gcstress`: in Go it is a separate build. */
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

/** The value of every switch. Mutable: tests and debuggers may change a switch while no cycle runs. */
export type Godebug = SwitchValues<typeof GODEBUG_SWITCHES>;

/** The collector's switches out of GODEBUG's text. It passes over other names and values that are no integers. */
export function parseGodebug(text = ""): Godebug {
  return parseSwitches(GODEBUG_SWITCHES, text);
}
