/** Values with units, as `go tool pprof` prints them. */

interface Unit {
  name: string;
  aliases: readonly string[];
  factor: number;
}

/** Units that convert into each other. `small` is the unit of values that are too small for all of them. */
interface UnitType {
  units: readonly Unit[];
  small: Unit;
}

const BYTES: Unit = { name: "B", aliases: ["b", "byte"], factor: 1 };
const GCU: Unit = { name: "GCU", aliases: ["gcu"], factor: 1 };
const SECONDS: Unit = { name: "s", aliases: ["s", "sec", "second"], factor: 1e9 };
const UNIT_TYPES: readonly UnitType[] = [
  {
    small: BYTES,
    units: [
      BYTES,
      { name: "kB", aliases: ["kb", "kbyte", "kilobyte"], factor: 2 ** 10 },
      { name: "MB", aliases: ["mb", "mbyte", "megabyte"], factor: 2 ** 20 },
      { name: "GB", aliases: ["gb", "gbyte", "gigabyte"], factor: 2 ** 30 },
      { name: "TB", aliases: ["tb", "tbyte", "terabyte"], factor: 2 ** 40 },
      { name: "PB", aliases: ["pb", "pbyte", "petabyte"], factor: 2 ** 50 },
    ],
  },
  {
    small: SECONDS,
    units: [
      { name: "ns", aliases: ["ns", "nanosecond"], factor: 1 },
      { name: "us", aliases: ["us", "microsecond"], factor: 1e3 },
      { name: "ms", aliases: ["ms", "millisecond"], factor: 1e6 },
      SECONDS,
      { name: "hrs", aliases: ["hour", "hr"], factor: 3600e9 },
    ],
  },
  {
    small: GCU,
    units: [
      { name: "n*GCU", aliases: ["nanogcu"], factor: 1e-9 },
      { name: "u*GCU", aliases: ["microgcu"], factor: 1e-6 },
      { name: "m*GCU", aliases: ["milligcu"], factor: 1e-3 },
      GCU,
      { name: "k*GCU", aliases: ["kilogcu"], factor: 1e3 },
      { name: "M*GCU", aliases: ["megagcu"], factor: 1e6 },
      { name: "G*GCU", aliases: ["gigagcu"], factor: 1e9 },
      { name: "T*GCU", aliases: ["teragcu"], factor: 1e12 },
      { name: "P*GCU", aliases: ["petagcu"], factor: 1e15 },
    ],
  },
];

function findUnit(type: UnitType, name: string): Unit | undefined {
  let lower = name.toLowerCase();
  if (lower.length > 2 && lower.endsWith("s")) lower = lower.slice(0, -1);
  return type.units.find((u) => u.aliases.includes(lower));
}

/** A value in another unit. "auto" chooses the largest unit in which the value is at least 1. */
export function scaleValue(value: number, from: string, to: string): { value: number; unit: string } {
  if (value < 0) {
    const { value: v, unit } = scaleValue(-value, from, to);
    return { value: -v, unit };
  }
  for (const type of UNIT_TYPES) {
    const fromUnit = findUnit(type, from);
    if (fromUnit === undefined) continue;
    const v = value * fromUnit.factor;
    const auto = to === "auto" || to === "minimum";
    let unit = auto ? undefined : findUnit(type, to);
    if (auto) for (const u of type.units) if (v / u.factor >= 1) unit = u;
    unit ??= type.small;
    return { value: v / unit.factor, unit: unit.name };
  }
  // A count has no unit.
  return { value, unit: /^(?:count|sample|unit|minimum|auto)$/.test(to) ? "" : to };
}

/** A value as reports print it: two digits after the point, or none if both are zero. */
export function formatValue(value: number, from: string, to = "auto"): string {
  const { value: v, unit } = scaleValue(value, from, to);
  const text = fixed2(v).replace(/\.00$/, "");
  return text === "0" || text === "-0" ? "0" : text + unit;
}

/** Two digits after the point. Ties go to the even digit, as in C and Go; `toFixed` rounds them up. */
function fixed2(x: number): string {
  const eighths = Math.abs(x) * 8;
  // A tie is an odd number of eighths: .125 and .625 round down to .12 and .62, .375 and .875 round up.
  if (Number.isInteger(eighths) && eighths % 4 === 1)
    return ((Math.sign(x) * (eighths - 0.04)) / 8).toFixed(2);
  return x.toFixed(2);
}

/** A part of the total as a percentage, six characters wide. */
export function percentage(value: number, total: number): string {
  const ratio = total === 0 ? 0 : Math.abs(value / total) * 100;
  if (ratio >= 99.95 && ratio <= 100.05) return "  100%";
  return `${ratio >= 1 ? fixed2(ratio).padStart(5) : twoDigits(ratio).padStart(5)}%`;
}

/** Two significant digits without trailing zeros, as C's %.2g. */
function twoDigits(x: number): string {
  if (x === 0) return "0";
  // A tie ends in a single 5, and goes to the even digit.
  const tie = /^(\d\.[02468])50*(e.*)$/.exec(x.toExponential(60));
  if (tie !== null) return twoDigits(Number(tie[1] + tie[2]));
  const exponent = Math.floor(Math.log10(Number(x.toExponential(1))));
  if (exponent < -4)
    return x
      .toExponential(1)
      .replace(/\.0e/, "e")
      .replace(/e-(\d)$/, "e-0$1");
  return String(Number(x.toPrecision(2)));
}
