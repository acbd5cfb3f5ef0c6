/** Text that a terminal may be shown, of names that come from files and other programs. */

/**
 * Controls (escape sequences begin with one), what turns the direction of writing, separators of lines, halves of
 * surrogate pairs.
 */
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const short: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** `text` in one line, with what can't be seen written as Go writes it in a quoted string: `\n`, `\x1b`, `\u202e`. */
export function printable(text: string): string {
  return text.replace(hidden, (c) => {
    const code = c.codePointAt(0)!;
    if (code < 0x80) return short[c] ?? `\\x${code.toString(16).padStart(2, "0")}`;
    const digits = code < 0x10000 ? 4 : 8;
    return `\\${digits === 4 ? "u" : "U"}${code.toString(16).padStart(digits, "0")}`;
  });
}
