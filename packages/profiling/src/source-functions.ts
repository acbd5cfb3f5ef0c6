/**
 * The functions of a JavaScript file, and how they nest: what V8's call sites don't tell and Go's names need.
 *
 * A call site knows where its function begins, but not which function is around an anonymous one, and of a
 * method only the receiver's class, not the class that declares it. This scanner walks the file's tokens
 * once, keeps a stack of brackets, and notes every function, method and arrow with its parent. It is no parser: it
 * understands just enough of the grammar to keep brackets, strings, templates and regular expressions
 * apart, and to see where a function begins. Where it errs, a look-up finds nothing or a name that V8
 * contradicts, and V8's own knowledge is used; so an error costs a prettier name, never a wrong position.
 *
 * A function is looked up by the position at which it begins, as V8 reports it on a stack:
 *
 *   function, async function    the first of these words
 *   arrow                       its parameters, or async before them
 *   method, accessor            its name (also noted under its first modifier)
 *   in V8's own profiles        all of them by their parameters
 *
 * or, where only the place of a call is known (an error's text), as the innermost one around it.
 */

/** A function in a file. */
export interface ScannedFunction {
  /** Its own name, or the one of the variable or property that it is assigned to; "" for none. */
  name: string;
  /** What it is a member of, for methods, accessors, constructors. */
  className: string;
  isStatic: boolean;
  accessor: "" | "get" | "set";
  /** A function expression without a name of its own, or an arrow: what Go would number. */
  isClosure: boolean;
  parent: ScannedFunction | null;
  /** Among the closures of its parent, from 1. */
  ordinal: number;
  /** How many closures it has itself. */
  closures: number;
}

interface Scope {
  kind: "(" | "[" | "block" | "object" | "class" | "template" | "arrow";
  /** The innermost function inside this bracket; null: the module. */
  fn: ScannedFunction | null;
  /** Where the bracket begins, for arrows' parameters. */
  start: number;
  /** Of a class: its name. */
  className: string;
  /** The token before the bracket. */
  before: Token;
  /** Of parentheses: the function whose parameters they are. */
  params: ScannedFunction | null;
  /** In a class or object literal: the member being read. */
  member: Member | null;
  /** The class whose body is still to come, outside of this bracket: `class A extends f(` */
  outerClass: string | null;
  /** Question marks whose colons are still to come. */
  ternaries: number;
}

interface Member {
  start: number;
  keyStart: number;
  key: string;
  isStatic: boolean;
  accessor: "" | "get" | "set";
  /** The name is read: what follows is its value. */
  done: boolean;
}

interface Token {
  kind: "word" | "number" | "string" | "punct" | "none";
  text: string;
  start: number;
}

const noToken: Token = { kind: "none", text: "", start: -1 };

/** Words after which an expression begins, so that `/` is a regular expression and `{` an object. */
const beforeExpression = new Set(
  "return typeof instanceof in of new delete void throw case yield await default else do extends".split(" "),
);

export class SourceFunctions {
  private readonly byStart = new Map<number, ScannedFunction>();
  private readonly lineStarts: number[] = [0];
  /** Where another function becomes the innermost one, in rising order, and which (null: the module). */
  private readonly changes: number[] = [];
  private readonly innermost: (ScannedFunction | null)[] = [];
  private readonly topLevel: ScannedFunction = {
    name: "init",
    className: "",
    isStatic: false,
    accessor: "",
    isClosure: false,
    parent: null,
    ordinal: 0,
    closures: 0,
  };

  constructor(private readonly source: string) {
    for (let i = source.indexOf("\n"); i >= 0; i = source.indexOf("\n", i + 1)) this.lineStarts.push(i + 1);
    this.scan();
  }

  /** The function that begins at this line and column (both from 1), if the scanner saw one there. */
  at(line: number, column: number): ScannedFunction | undefined {
    const start = this.lineStarts[line - 1];
    return start === undefined ? undefined : this.byStart.get(start + column - 1);
  }

  /** The line on which the function ends that begins at this line and column; undefined if the scanner saw none there. */
  endLine(line: number, column: number): number | undefined {
    const fn = this.at(line, column);
    if (fn === undefined) return undefined;
    const known = this.ends.get(fn);
    if (known !== undefined) return known;
    let i = this.changes.length - 1;
    while (i >= 0 && !isWithin(this.innermost[i], fn)) i--;
    if (i < 0) return undefined;
    // Where other code follows the last that is in it. (Parameters and body are apart.)
    const next = this.changes[i + 1] ?? this.source.length;
    const nextLine = this.lineAt(next);
    // On a line of its own, what follows is outside.
    const alone = this.source.slice(this.lineStarts[nextLine - 1], next).trim() === "";
    const end = Math.max(line, alone ? nextLine - 1 : nextLine);
    this.ends.set(fn, end);
    return end;
  }
  private readonly ends = new Map<ScannedFunction, number>();

  private lineAt(offset: number): number {
    let from = 0;
    let to = this.lineStarts.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.lineStarts[middle] <= offset) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  /** The innermost function around this line and column (both from 1); outside of all, the module's body. */
  around(line: number, column: number): ScannedFunction | undefined {
    const offset = (this.lineStarts[line - 1] ?? Number.NaN) + column - 1;
    if (!(offset >= 0 && offset <= this.source.length)) return undefined;
    let from = 0;
    let to = this.changes.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.changes[middle] <= offset) from = middle + 1;
      else to = middle;
    }
    return this.innermost[from - 1] ?? this.topLevel;
  }

  /** How many functions were found. */
  get size(): number {
    return new Set(this.byStart.values()).size;
  }

  private scan(): void {
    const src = this.source;
    const end = src.length;
    const scopes: Scope[] = [];
    const bottom = this.newScope("block", null, 0, noToken);
    let scope = bottom;
    let i = src.startsWith("#!") ? lineEnd(src, 0) : 0;
    let last = noToken;
    let last2 = noToken;
    let last3 = noToken;
    let newline = false;
    let innermost: ScannedFunction | null = null;
    /** Parentheses just closed: an arrow's parameters, if `=>` follows. */
    let closed: Scope | null = null;
    /** A function whose parameters, or whose body, come next. */
    let pending: ScannedFunction | null = null;
    let pendingBody: ScannedFunction | null = null;
    let pendingClass: string | null = null;

    const push = (next: Scope): void => {
      next.outerClass = pendingClass;
      pendingClass = null;
      scopes.push(scope);
      scope = next;
    };
    const pop = (): void => {
      pendingClass = scope.outerClass;
      scope = scopes.pop() ?? bottom;
    };
    const emit = (kind: Token["kind"], text: string, start: number): void => {
      last3 = last2;
      last2 = last;
      last = { kind, text, start };
    };
    const endArrows = (): void => {
      while (scope.kind === "arrow") pop();
    };

    while (i < end) {
      const c = src.charCodeAt(i);
      if (c === 10 || c === 13 || c === 0x2028 || c === 0x2029) {
        newline = true;
        i++;
        continue;
      }
      if (c <= 32 || c === 0xa0 || c === 0xfeff) {
        i++;
        continue;
      }
      if (c === 47 /* / */) {
        if (src[i + 1] === "/") {
          i = lineEnd(src, i);
          continue;
        }
        if (src[i + 1] === "*") {
          const close = src.indexOf("*/", i + 2);
          const stop = close < 0 ? end : close + 2;
          if (src.slice(i, stop).includes("\n")) newline = true;
          i = stop;
          continue;
        }
      }

      // A line that can't go on with the expression before it ends the arrows without braces there.
      if (
        newline &&
        (scope.kind === "arrow" || scope.kind === "class") &&
        endsExpression(last) &&
        startsStatement(src, i)
      ) {
        endArrows();
        if (scope.kind === "class" && scope.member?.done === true && !isModifier(scope.member.key))
          scope.member = null;
      }
      newline = false;
      const start = i;
      if (scope.fn !== innermost) {
        innermost = scope.fn;
        this.changes.push(start);
        this.innermost.push(innermost);
      }

      if (isWordStart(c)) {
        i++;
        while (i < end && isWordPart(src.charCodeAt(i))) i++;
        const text = src.slice(start, i);
        const member = last.text !== "." && last.text !== "?.";
        const keyPlace = this.atMember(scope);
        if (keyPlace) {
          this.readKey(scope, text, start);
        } else if (member && text === "function") {
          const isAsync = last.kind === "word" && last.text === "async";
          const before = isAsync ? last2 : last;
          const before2 = isAsync ? last3 : last2;
          pending = this.newFunction(scope.fn, this.assignedName(scope, before, before2), true);
          this.byStart.set(isAsync ? last.start : start, pending);
        } else if (member && text === "class") {
          pendingClass = this.assignedName(scope, last, last2) || (last.text === "default" ? "default" : "");
        } else if (pending !== null && (last.text === "function" || last.text === "*")) {
          // A function with a name of its own isn't numbered.
          pending.name = text;
          if (pending.isClosure) {
            pending.isClosure = false;
            pending.ordinal = 0;
            const outer = pending.parent ?? this.topLevel;
            outer.closures--;
          }
        } else if (pendingClass === "" && last.text === "class" && text !== "extends") {
          pendingClass = text;
        }
        emit("word", text, start);
        closed = null;
        continue;
      }

      if ((c >= 48 && c <= 57) || (c === 46 && isDigit(src.charCodeAt(i + 1)))) {
        i++;
        while (i < end && (isWordPart(src.charCodeAt(i)) || src[i] === ".")) i++;
        if (this.atMember(scope)) this.readKey(scope, src.slice(start, i), start);
        emit("number", "0", start);
        closed = null;
        continue;
      }

      if (c === 34 || c === 39) {
        i = stringEnd(src, i, c);
        if (this.atMember(scope)) this.readKey(scope, src.slice(start + 1, i - 1), start);
        emit("string", "''", start);
        closed = null;
        continue;
      }

      if (c === 96 /* ` */) {
        i = this.templatePart(i + 1);
        if (src.startsWith("${", i)) {
          push(this.newScope("template", scope.fn, start, last));
          i += 2;
          emit("punct", "${", start);
        } else {
          i++;
          emit("string", "``", start);
        }
        closed = null;
        continue;
      }

      if (c === 47 && regexMayFollow(last, closed)) {
        i = regexEnd(src, i);
        emit("string", "//", start);
        closed = null;
        continue;
      }

      // Punctuation. Brackets and the few that matter; everything else is one character and ignored.
      const ch = src[i];
      i++;
      switch (ch) {
        case "(": {
          const next = this.newScope("(", scope.fn, start, last);
          if (pending !== null) {
            next.params = pending;
            next.fn = pending;
            this.byStart.set(start, pending);
            pending = null;
          } else if ((scope.kind === "class" || scope.kind === "object") && scope.member?.done === true) {
            const method = this.newMethod(scope, last);
            if (method !== null) {
              next.params = method;
              next.fn = method;
              this.byStart.set(start, method);
            }
          }
          push(next);
          emit("punct", ch, start);
          closed = null;
          continue;
        }
        case ")":
        case "]": {
          endArrows();
          const was = scope;
          pop();
          closed = ch === ")" ? was : null;
          if (was.params !== null) pendingBody = was.params;
          if (
            ch === "]" &&
            (scope.kind === "class" || scope.kind === "object") &&
            scope.member?.key === "["
          ) {
            scope.member.key = "[computed]";
            scope.member.done = true;
          }
          emit("punct", ch, start);
          continue;
        }
        case "[":
          if (this.atMember(scope)) {
            this.readKey(scope, "[", start);
            scope.member!.done = false;
          }
          push(this.newScope("[", scope.fn, start, last));
          break;
        case "{":
          if (pendingBody !== null) {
            push(this.newScope("block", pendingBody, start, last));
            pendingBody = null;
          } else if (pendingClass !== null) {
            const next = this.newScope("class", scope.fn, start, last);
            next.className = pendingClass || "class";
            pendingClass = null;
            push(next);
          } else if (last.text === "static" && scope.kind === "class") {
            scope.member = null;
            push(this.newScope("block", scope.fn, start, last));
          } else
            push(this.newScope(objectMayFollow(last, scope) ? "object" : "block", scope.fn, start, last));
          break;
        case "}": {
          endArrows();
          const was = scope;
          pop();
          if (was.kind === "template") {
            // The template goes on behind the expression.
            i = this.templatePart(i);
            if (src.startsWith("${", i)) {
              push(was);
              i += 2;
              emit("punct", "${", start);
            } else {
              i++;
              emit("string", "``", start);
            }
            closed = null;
            continue;
          }
          // A member that ends in a brace needs no comma or semicolon in a class.
          if (scope.kind === "class" && was.kind === "block") scope.member = null;
          emit("punct", was.kind === "object" ? "}object" : ch, start);
          closed = null;
          continue;
        }
        case "=":
          if (src[i] === ">") {
            i++;
            this.arrow(scope, closed, last, last2, last3, (fn) => {
              if (nextIsBrace(src, i)) pendingBody = fn;
              else push(this.newScope("arrow", fn, start, last));
            });
            emit("punct", "=>", start);
            closed = null;
            continue;
          }
          break;
        case ",":
          endArrows();
          if (scope.kind === "object") scope.member = null;
          break;
        case ";":
          endArrows();
          pendingBody = null;
          if (scope.kind === "class") scope.member = null;
          break;
        case ".":
          if (src.startsWith("..", i)) {
            i += 2;
            // What is spread isn't a member's name.
            if (scope.kind === "object") {
              scope.member = { start, keyStart: -1, key: "...", isStatic: false, accessor: "", done: true };
            }
            emit("punct", "...", start);
            closed = null;
            continue;
          }
          break;
        case "?":
          if (src[i] === "." && !isDigit(src.charCodeAt(i + 1))) {
            i++;
            emit("punct", "?.", start);
            closed = null;
            continue;
          }
          if (src[i] === "?") i++;
          else scope.ternaries++;
          break;
        case ":":
          // The colon of a condition around an arrow ends the arrow.
          while (scope.kind === "arrow" && scope.ternaries === 0) pop();
          if (scope.ternaries > 0) scope.ternaries--;
          break;
        case "+":
        case "-":
          if (src[i] === ch) {
            i++;
            emit("punct", ch + ch, start);
            closed = null;
            continue;
          }
          break;
      }
      emit("punct", ch, start);
      closed = null;
    }
  }

  private newScope(kind: Scope["kind"], fn: ScannedFunction | null, start: number, before: Token): Scope {
    return {
      kind,
      fn,
      start,
      className: "",
      before,
      params: null,
      member: null,
      outerClass: null,
      ternaries: 0,
    };
  }

  private newFunction(parent: ScannedFunction | null, name: string, isClosure: boolean): ScannedFunction {
    const outer = parent ?? this.topLevel;
    const ordinal = isClosure ? ++outer.closures : 0;
    return { name, className: "", isStatic: false, accessor: "", isClosure, parent, ordinal, closures: 0 };
  }

  /** Whether a token here is, or belongs to, the name of a member of a class or object. */
  private atMember(scope: Scope): boolean {
    if (scope.kind !== "class" && scope.kind !== "object") return false;
    if (scope.member === null) return true;
    return !scope.member.done || isModifier(scope.member.key);
  }

  private readKey(scope: Scope, text: string, start: number): void {
    const before = scope.member;
    const member: Member = { start, keyStart: start, key: text, isStatic: false, accessor: "", done: true };
    if (before !== null) {
      // What looked like the name was a modifier.
      member.start = before.start;
      member.isStatic = before.isStatic || before.key === "static";
      member.accessor = before.key === "get" || before.key === "set" ? before.key : before.accessor;
    }
    scope.member = member;
  }

  /** The method whose parameters begin, if the scope's member is one. */
  private newMethod(scope: Scope, last: Token): ScannedFunction | null {
    const member = scope.member!;
    // `x = f(` and `x: f(` have more between the name and the parenthesis.
    const isName = last.start === member.keyStart || (member.key === "[computed]" && last.text === "]");
    if (!isName) return null;
    const fn = this.newFunction(scope.fn, member.key, false);
    fn.className = scope.className;
    fn.isStatic = member.isStatic;
    fn.accessor = member.accessor;
    this.byStart.set(member.start, fn);
    this.byStart.set(member.keyStart, fn);
    return fn;
  }

  private arrow(
    scope: Scope,
    closed: Scope | null,
    last: Token,
    last2: Token,
    last3: Token,
    enter: (fn: ScannedFunction) => void,
  ): void {
    let start = last.start;
    let before = last2;
    let before2 = last3;
    if (closed !== null) {
      start = closed.start;
      before = closed.before;
      before2 = noToken;
    }
    const async = before.kind === "word" && before.text === "async";
    if (async) {
      start = before.start;
      before = closed === null ? last3 : this.tokenBefore(before.start);
      before2 = noToken;
    }
    if (before2 === noToken && before.text === "=") before2 = this.tokenBefore(before.start);
    const fn = this.newFunction(scope.fn, this.assignedName(scope, before, before2), true);
    this.byStart.set(start, fn);
    if (async) this.byStart.set(closed === null ? last.start : closed.start, fn);
    enter(fn);
  }

  /** The word or sign before a position: enough to find the variable before `= (a, b) =>`. */
  private tokenBefore(at: number): Token {
    const src = this.source;
    let end = at;
    while (end > 0 && src.charCodeAt(end - 1) <= 32) end--;
    let start = end;
    while (start > 0 && isWordPart(src.charCodeAt(start - 1))) start--;
    if (start < end) return { kind: "word", text: src.slice(start, end), start };
    return end > 0 ? { kind: "punct", text: src[end - 1], start: end - 1 } : noToken;
  }

  /** The variable or property that the expression after `before` is assigned to, or "". */
  private assignedName(scope: Scope, before: Token, before2: Token): string {
    if (before.text === "=" && before2.kind === "word") return before2.text;
    if (scope.kind === "object" && before.text === ":" && scope.member !== null) return scope.member.key;
    return "";
  }

  /** From inside a template: to its closing backtick, or to the next `${`. */
  private templatePart(at: number): number {
    const src = this.source;
    for (let i = at; i < src.length; i++) {
      const c = src[i];
      if (c === "\\") i++;
      else if (c === "`" || (c === "$" && src[i + 1] === "{")) return i;
    }
    return src.length;
  }
}

/** The name of a scanned function as Go would form it, without its package. */
export function scannedName(fn: ScannedFunction): string {
  if (fn.className !== "") {
    if (fn.name === "constructor") return `(*${fn.className}).constructor`;
    const suffix = fn.accessor === "" ? "" : `-${fn.accessor}`;
    return `${fn.isStatic ? fn.className : `(*${fn.className})`}.${fn.name}${suffix}`;
  }
  if (fn.name !== "") return fn.name;
  const { parent } = fn;
  if (parent === null) return `init.func${fn.ordinal}`;
  // A closure in a numbered closure adds only its number.
  return parent.isClosure && parent.name === ""
    ? `${scannedName(parent)}.${fn.ordinal}`
    : `${scannedName(parent)}.func${fn.ordinal}`;
}

function isModifier(key: string): boolean {
  return (
    key === "static" || key === "async" || key === "get" || key === "set" || key === "accessor" || key === "*"
  );
}

function isDigit(c: number): boolean {
  return c >= 48 && c <= 57;
}

function isWordStart(c: number): boolean {
  return (
    (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || c === 95 || c === 36 || c === 35 || c === 92 || c > 127
  );
}

function isWordPart(c: number): boolean {
  return isWordStart(c) || isDigit(c);
}

function lineEnd(src: string, at: number): number {
  const end = src.indexOf("\n", at);
  return end < 0 ? src.length : end;
}

function stringEnd(src: string, at: number, quote: number): number {
  for (let i = at + 1; i < src.length; i++) {
    const c = src.charCodeAt(i);
    if (c === 92) i++;
    else if (c === quote || c === 10) return i + 1;
  }
  return src.length;
}

function regexEnd(src: string, at: number): number {
  let inClass = false;
  for (let i = at + 1; i < src.length; i++) {
    const c = src[i];
    if (c === "\\") i++;
    else if (c === "\n") return i;
    else if (c === "[") inClass = true;
    else if (c === "]") inClass = false;
    else if (c === "/" && !inClass) return i + 1;
  }
  return src.length;
}

/** Whether a `/` after this token begins a regular expression. */
function regexMayFollow(last: Token, closed: Scope | null): boolean {
  switch (last.kind) {
    case "none":
      return true;
    case "number":
    case "string":
      return false;
    case "word":
      return beforeExpression.has(last.text);
    case "punct":
      // After `if (...)` an expression may begin; after other parentheses it's a division.
      if (last.text === ")") return closed !== null && /^(?:if|while|for|with)$/.test(closed.before.text);
      return last.text !== "]" && last.text !== "}object" && last.text !== "++" && last.text !== "--";
  }
}

/** Whether a `{` after this token begins an object literal. */
function objectMayFollow(last: Token, scope: Scope): boolean {
  if (last.kind === "word")
    return last.text !== "else" && last.text !== "do" && beforeExpression.has(last.text);
  if (last.kind !== "punct") return false;
  if (last.text === ":") return scope.kind !== "block";
  return !(
    last.text === ")" ||
    last.text === ";" ||
    last.text === "{" ||
    last.text === "}" ||
    last.text === "=>" ||
    last.text === "]"
  );
}

/** Whether an expression can end with this token. */
function endsExpression(last: Token): boolean {
  if (last.kind === "punct") return /^(?:\)|\]|\}|\}object|\+\+|--)$/.test(last.text);
  if (last.kind === "word") return !beforeExpression.has(last.text);
  return last.kind !== "none";
}

/** Whether what begins here, on a new line, can't continue an expression. */
function startsStatement(src: string, at: number): boolean {
  const c = src.charCodeAt(at);
  if (isWordStart(c)) return !/^(?:in|instanceof|of|as|satisfies)\b/.test(src.slice(at, at + 12));
  return isDigit(c) || c === 34 || c === 39 || c === 123 || c === 64;
}

function nextIsBrace(src: string, at: number): boolean {
  const rest = /(?:\s|\/\/[^\n]*|\/\*[\s\S]*?\*\/)*(\{)?/y;
  rest.lastIndex = at;
  return rest.exec(src)?.[1] === "{";
}

/** Whether a function is `outer` or inside of it. */
function isWithin(fn: ScannedFunction | null, outer: ScannedFunction): boolean {
  for (let f = fn; f !== null; f = f.parent) if (f === outer) return true;
  return false;
}
