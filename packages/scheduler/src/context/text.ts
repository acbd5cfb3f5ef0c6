/** Texts of values, times and durations in the text of a context, as Go's `%v` prints a context. */

/** Go's format of a time in UTC: `2026-11-29 06:21:04.789 +0000 UTC`. */
export function timeText(ms: number): string {
  const t = new Date(ms);
  if (Number.isNaN(t.getTime())) return `${ms}ms since 1970`;
  const two = (n: number) => String(n).padStart(2, "0");
  const y = t.getUTCFullYear();
  const year = y < 0 ? `-${String(-y).padStart(4, "0")}` : String(y).padStart(4, "0");
  const fraction = t.getUTCMilliseconds();
  const text = fraction === 0 ? "" : `.${String(fraction).padStart(3, "0").replace(/0+$/, "")}`;
  const date = `${year}-${two(t.getUTCMonth() + 1)}-${two(t.getUTCDate())}`;
  return `${date} ${two(t.getUTCHours())}:${two(t.getUTCMinutes())}:${two(t.getUTCSeconds())}${text} +0000 UTC`;
}

/** Go's format of a duration: `1h29m59.99s`, `1.5ms`, `0s`. */
export function durationText(ms: number): string {
  if (!Number.isFinite(ms)) return ms < 0 ? "-2562047h47m16.854775808s" : "2562047h47m16.854775807s";
  const sign = ms < 0 ? "-" : "";
  const ns = BigInt(Math.round(Math.abs(ms) * 1e6));
  if (ns === 0n) return "0s";
  if (ns < 1_000n) return `${sign}${ns}ns`;
  if (ns < 1_000_000n) return `${sign}${decimal(ns, 3)}µs`;
  if (ns < 1_000_000_000n) return `${sign}${decimal(ns, 6)}ms`;
  const minutes = ns / 60_000_000_000n;
  const seconds = decimal(ns % 60_000_000_000n, 9);
  if (minutes === 0n) return `${sign}${seconds}s`;
  const hours = minutes / 60n;
  if (hours === 0n) return `${sign}${minutes}m${seconds}s`;
  return `${sign}${hours}h${minutes % 60n}m${seconds}s`;
}

/** `n` divided by 10 to the power of `digits`, without zeros at the end. */
function decimal(n: bigint, digits: number): string {
  const text = String(n).padStart(digits + 1, "0");
  const fraction = text.slice(-digits).replace(/0+$/, "");
  return text.slice(0, -digits) + (fraction === "" ? "" : `.${fraction}`);
}

/** A string stands for itself, a Stringer for its `toString`, and any other value for its type. */
export function valueText(v: unknown): string {
  if (typeof v === "string") return v;
  if (typeof v === "symbol") return v.toString();
  if (typeof v === "object" && v !== null && isStringer(v)) return String(v);
  return typeText(v);
}

const plainToStrings = new Set<unknown>([
  Object.prototype.toString,
  Array.prototype.toString,
  Error.prototype.toString,
]);

/** The counterpart of Go's String method is a `toString` of the object's own class. */
function isStringer(v: object): boolean {
  const f = (v as { toString?: unknown }).toString;
  return typeof f === "function" && !plainToStrings.has(f);
}

/** The Go type that stands for the type of `v`. */
function typeText(v: unknown): string {
  switch (typeof v) {
    case "boolean":
      return "bool";
    case "number":
      return Number.isInteger(v) ? "int" : "float64";
    case "bigint":
      return "int64";
    case "function":
      return "func()";
    case "object":
      break;
    default:
      return "<nil>";
  }
  if (v === null) return "<nil>";
  if (Array.isArray(v)) return "[]any";
  if (v instanceof Uint8Array) return "[]uint8";
  const proto = Object.getPrototypeOf(v) as { constructor?: { name?: string } } | null;
  if (proto === null || proto === Object.prototype) return "map[string]any";
  if (proto === Error.prototype) return "*errors.errorString";
  return `*main.${proto.constructor?.name || "object"}`;
}
