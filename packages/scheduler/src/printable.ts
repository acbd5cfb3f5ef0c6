/** What can't be seen in text, or acts on a terminal: controls, turns of the direction of writing, separators of lines. */
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const short: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * A name in one line of a report, with what can't be seen written as Go writes it in a quoted string. Names of functions and files come
 * from the program and its source maps. (A panic's value is printed as it is, as in Go.)
 */
export function printable(name: string): string {
  return name.replace(hidden, (c) => {
    const code = c.codePointAt(0)!;
    if (code < 0x80) return short[c] ?? `\\x${code.toString(16).padStart(2, "0")}`;
    const hex = code.toString(16);
    return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
  });
}
