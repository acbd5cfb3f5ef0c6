/**
 * Go's JSON encoding of MemStats, byte for byte: all fields in declaration order, integers with all their digits, no
 * space in the compact form. The indented form is that of `json.MarshalIndent(m, "", indent)`. `JSON.stringify` can
 * write neither the 64-bit integers nor small fractions in Go's way.
 */

import type { MemStats } from "./memstats.ts";

/**
 * A float64 as encoding/json writes it: the shortest digits that read back as the same number, plain from 1e-6 to 1e21,
 * else with an exponent (`1e-9`, `1e+21`). JavaScript has the same rule, except for the sign of -0.
 */
export function jsonFloat(x: number): string {
  if (!Number.isFinite(x)) throw new RangeError(`memstats: JSON has no such number (got ${x})`);
  return Object.is(x, -0) ? "-0" : String(x);
}

/** A uint64 with all its digits. */
function uint(x: number | bigint): string {
  return typeof x === "bigint"
    ? x.toString()
    : x < 1e21 && Number.isInteger(x)
      ? BigInt(x).toString()
      : jsonFloat(x);
}

/**
 * The JSON text of a snapshot. `indent` indents each level: a number of blanks, or a string. Without it the text has no
 * white space, like that of `json.Marshal`.
 */
export function memStatsJSON(m: MemStats, indent: number | string = ""): string {
  const unit = typeof indent === "number" ? " ".repeat(indent) : indent;
  const nl = unit === "" ? "" : "\n";
  const colon = unit === "" ? ":" : ": ";
  const one = unit;
  const two = unit + unit;
  const three = two + unit;

  const list = (items: string[], inner: string, outer: string): string =>
    `[${nl}${items.map((s) => inner + s).join(`,${nl}`)}${nl}${outer}]`;

  const members: string[] = [];
  for (const [name, value] of Object.entries(m)) {
    let text: string;
    if (name === "BySize") {
      const rows = (value as MemStats["BySize"]).map(
        (b) =>
          `{${nl}${three}"Size"${colon}${uint(b.Size)},${nl}${three}"Mallocs"${colon}${uint(b.Mallocs)},` +
          `${nl}${three}"Frees"${colon}${uint(b.Frees)}${nl}${two}}`,
      );
      text = list(rows, two, one);
    } else if (name === "PauseNs" || name === "PauseEnd") {
      text = list(Array.from(value as Iterable<number | bigint>, uint), two, one);
    } else if (typeof value === "boolean") {
      text = String(value);
    } else if (name === "GCCPUFraction") {
      text = jsonFloat(value as number);
    } else {
      text = uint(value as number | bigint);
    }
    members.push(`${one}"${name}"${colon}${text}`);
  }
  return `{${nl}${members.join(`,${nl}`)}${nl}}`;
}
