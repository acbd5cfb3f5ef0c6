/**
 * The characters of a JavaScript file: which begin a word, and where a string, a template, a regular expression or a
 * comment ends.
 *
 * Each `...End` function takes the position of the first character and returns the position behind the last. Text that
 * is not closed ends with the file, or with the line where the grammar allows no line break.
 */

export const NEWLINE = 0x0a;
export const CARRIAGE_RETURN = 0x0d;
export const LINE_SEPARATOR = 0x2028;
export const PARAGRAPH_SEPARATOR = 0x2029;
export const SPACE = 0x20;
export const NO_BREAK_SPACE = 0xa0;
export const BYTE_ORDER_MARK = 0xfeff;
export const DOUBLE_QUOTE = 0x22;
export const SINGLE_QUOTE = 0x27;
export const DOT = 0x2e;
export const SLASH = 0x2f;
export const BACKTICK = 0x60;
const HASH = 0x23;
const DOLLAR = 0x24;
const AT_SIGN = 0x40;
const BACKSLASH = 0x5c;
const UNDERSCORE = 0x5f;
const LEFT_BRACE = 0x7b;
const LAST_ASCII = 0x7f;

export function isLineBreak(c: number): boolean {
  return c === NEWLINE || c === CARRIAGE_RETURN || c === LINE_SEPARATOR || c === PARAGRAPH_SEPARATOR;
}

export function isBlank(c: number): boolean {
  return c <= SPACE || c === NO_BREAK_SPACE || c === BYTE_ORDER_MARK;
}

export function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

/** Whether a name, a private name (`#x`) or an escape (`\u0061`) begins with this character. */
export function isWordStart(c: number): boolean {
  return (
    (c >= 0x61 && c <= 0x7a) ||
    (c >= 0x41 && c <= 0x5a) ||
    c === UNDERSCORE ||
    c === DOLLAR ||
    c === HASH ||
    c === BACKSLASH ||
    c > LAST_ASCII
  );
}

export function isWordPart(c: number): boolean {
  return isWordStart(c) || isDigit(c);
}

export function wordEnd(source: string, at: number): number {
  let end = at + 1;
  while (end < source.length && isWordPart(source.charCodeAt(end))) end++;
  return end;
}

/** A number ends where neither a letter, nor a digit, nor a dot follows. */
export function numberEnd(source: string, at: number): number {
  let end = at + 1;
  while (end < source.length && (isWordPart(source.charCodeAt(end)) || source.charCodeAt(end) === DOT)) end++;
  return end;
}

/** The position of the line break, or the end of the file. */
export function lineEnd(source: string, at: number): number {
  const end = source.indexOf("\n", at);
  return end < 0 ? source.length : end;
}

/** `at` is the position of the comment's slash. */
export function blockCommentEnd(source: string, at: number): number {
  const close = source.indexOf("*/", at + 2);
  return close < 0 ? source.length : close + 2;
}

/** `at` is the position of the opening quote. */
export function stringEnd(source: string, at: number, quote: number): number {
  for (let i = at + 1; i < source.length; i++) {
    const c = source.charCodeAt(i);
    if (c === BACKSLASH) i++;
    else if (c === quote || c === NEWLINE) return i + 1;
  }
  return source.length;
}

/** From inside a template: the position of its closing backtick, or of the next `${`. */
export function templatePartEnd(source: string, at: number): number {
  for (let i = at; i < source.length; i++) {
    const c = source[i];
    if (c === "\\") i++;
    else if (c === "`" || (c === "$" && source[i + 1] === "{")) return i;
  }
  return source.length;
}

/** `at` is the position of the opening slash. The flags are not included: they read as a word of their own. */
export function regexEnd(source: string, at: number): number {
  let inClass = false;
  for (let i = at + 1; i < source.length; i++) {
    const c = source[i];
    if (c === "\\") i++;
    else if (c === "\n") return i;
    else if (c === "[") inClass = true;
    else if (c === "]") inClass = false;
    else if (c === "/" && !inClass) return i + 1;
  }
  return source.length;
}

/** Whether the code at `at`, the first of a line, cannot continue the expression of the line before. */
export function startsStatement(source: string, at: number): boolean {
  const c = source.charCodeAt(at);
  if (isWordStart(c)) return !/^(?:in|instanceof|of|as|satisfies)\b/.test(source.slice(at, at + 12));
  return isDigit(c) || c === DOUBLE_QUOTE || c === SINGLE_QUOTE || c === LEFT_BRACE || c === AT_SIGN;
}

/** Whether the next character behind blanks and comments is `{`. */
export function nextIsBrace(source: string, at: number): boolean {
  const rest = /(?:\s|\/\/[^\n]*|\/\*[\s\S]*?\*\/)*(\{)?/y;
  rest.lastIndex = at;
  return rest.exec(source)?.[1] === "{";
}
