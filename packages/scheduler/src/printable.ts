/** Characters that are invisible or act on a terminal: controls, changes of the writing direction, line separators. */
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const short: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * A name for one line of a report. Invisible characters are escaped as in a quoted string of Go. Names of functions and
 * files come from the program and its source maps. (The value of a panic is printed as it is, as in Go.)
 */
export function printable(name: string): string {
  return name.replace(hidden, (c) => {
    const code = c.codePointAt(0)!;
    if (code < 0x80) return short[c] ?? `\\x${code.toString(16).padStart(2, "0")}`;
    const hex = code.toString(16);
    return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
  });
}
