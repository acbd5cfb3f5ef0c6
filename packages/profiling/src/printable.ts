/** Names from files and other programs as text that is safe for a terminal. */

/**
 * Control characters (escape sequences begin with one), characters that change the direction of writing, line
 * separators, and halves of surrogate pairs.
 */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const SHORT_ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** `text` in one line. Invisible characters are written as in Go's quoted strings: `\n`, `\x1b`, `\u202e`. */
export function printable(text: string): string {
  return text.replace(HIDDEN, (c) => {
    const code = c.codePointAt(0)!;
    if (code < 0x80) return SHORT_ESCAPES[c] ?? `\\x${code.toString(16).padStart(2, "0")}`;
    const digits = code < 0x10000 ? 4 : 8;
    return `\\${digits === 4 ? "u" : "U"}${code.toString(16).padStart(digits, "0")}`;
  });
}
