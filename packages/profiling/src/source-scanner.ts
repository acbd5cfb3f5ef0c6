/**
 * Finds the functions of a JavaScript file in one pass over its tokens.
 *
 * The scanner keeps a stack of open brackets, its *scopes*, and notes each function, method and arrow with the
 * function around it. It is no parser. It understands just enough of the grammar to tell brackets, strings, templates
 * and regular expressions apart, and to see where a function begins.
 *
 *   1. skip blanks and comments; a line break can end an arrow without braces, or a class field
 *   2. note a change if the innermost function differs from that of the token before
 *   3. read one token: a word, number, string, template part or regular expression, or a sign
 *   4. a sign opens or closes a scope; `function`, `class`, `=>` and the name of a member say what the next bracket is
 */
import {
  assignedName,
  atMemberName,
  COMPUTED,
  COMPUTED_OPEN,
  endsExpression,
  isMemberScope,
  MODIFIERS,
  NO_TOKEN,
  newScope,
  OBJECT_END,
  objectMayFollow,
  readMemberName,
  regexMayFollow,
  type ScannedFunction,
  type Scope,
  type Token,
} from "./source-scopes.ts";
import {
  BACKTICK,
  blockCommentEnd,
  DOT,
  DOUBLE_QUOTE,
  isBlank,
  isDigit,
  isLineBreak,
  isWordPart,
  isWordStart,
  lineEnd,
  nextIsBrace,
  numberEnd,
  regexEnd,
  SINGLE_QUOTE,
  SLASH,
  SPACE,
  startsStatement,
  stringEnd,
  templatePartEnd,
  wordEnd,
} from "./source-text.ts";

export class FunctionScanner {
  /** Every function by each position under which V8 may report it. */
  readonly byStart = new Map<number, ScannedFunction>();
  /** Positions at which the innermost function changes, rising, and the innermost function from there. */
  readonly changes: number[] = [];
  readonly innermost: (ScannedFunction | null)[] = [];
  readonly topLevel: ScannedFunction = {
    name: "init",
    className: "",
    isStatic: false,
    accessor: "",
    isClosure: false,
    parent: null,
    ordinal: 0,
    closures: 0,
  };

  /** The position of the next character. */
  private at = 0;
  private readonly bottom: Scope;
  private scope: Scope;
  private readonly outer: Scope[] = [];
  /** The last three tokens, latest first. */
  private last = NO_TOKEN;
  private last2 = NO_TOKEN;
  private last3 = NO_TOKEN;
  /** A line break lies between the last token and the next. */
  private newline = false;
  private currentFunction: ScannedFunction | null = null;
  /** The parentheses that the last token closed: an arrow's parameters, if `=>` follows. */
  private closed: Scope | null = null;
  /** The function whose parameters come next, behind `function`. */
  private pendingParams: ScannedFunction | null = null;
  /** The function whose body comes next. */
  private pendingBody: ScannedFunction | null = null;
  /** The name of the class whose body comes next; "" for a class without a name. */
  private pendingClass: string | null = null;

  constructor(private readonly source: string) {
    this.bottom = newScope("block", null, 0, NO_TOKEN);
    this.scope = this.bottom;
  }

  /** Reads the whole file. */
  scan(): void {
    const { source } = this;
    if (source.startsWith("#!")) this.at = lineEnd(source, 0);
    while (this.at < source.length) {
      const c = source.charCodeAt(this.at);
      if (isLineBreak(c)) {
        this.newline = true;
        this.at++;
      } else if (isBlank(c)) this.at++;
      else if (c === SLASH && this.skipComment()) continue;
      else {
        this.beginToken();
        this.readToken(c);
      }
    }
  }

  /** Skips a comment; false if the slash begins none. */
  private skipComment(): boolean {
    const { source, at } = this;
    if (source[at + 1] === "/") {
      this.at = lineEnd(source, at);
      return true;
    }
    if (source[at + 1] !== "*") return false;
    this.at = blockCommentEnd(source, at);
    if (source.slice(at, this.at).includes("\n")) this.newline = true;
    return true;
  }

  /** Ends what a line break ends, and notes whether the token at `at` lies in another function than the last. */
  private beginToken(): void {
    if (this.newline) this.endLine();
    this.newline = false;
    if (this.scope.fn !== this.currentFunction) {
      this.currentFunction = this.scope.fn;
      this.changes.push(this.at);
      this.innermost.push(this.currentFunction);
    }
  }

  /** Ends arrows without braces and a class field, if the new line cannot continue their expression. */
  private endLine(): void {
    const { kind } = this.scope;
    if (kind !== "arrow" && kind !== "class") return;
    if (!endsExpression(this.last) || !startsStatement(this.source, this.at)) return;
    this.endArrows();
    const { scope } = this;
    if (scope.kind === "class" && scope.member?.done === true && !MODIFIERS.has(scope.member.key)) {
      scope.member = null;
    }
  }

  private readToken(c: number): void {
    if (isWordStart(c)) this.readWord();
    else if (isDigit(c) || (c === DOT && isDigit(this.source.charCodeAt(this.at + 1)))) this.readNumber();
    else if (c === DOUBLE_QUOTE || c === SINGLE_QUOTE) this.readString(c);
    else if (c === BACKTICK) this.readTemplate();
    else if (c === SLASH && regexMayFollow(this.last, this.closed)) this.readRegex();
    else this.readSign();
  }

  private readWord(): void {
    const { source, scope, last, at: start } = this;
    this.at = wordEnd(source, start);
    const text = source.slice(start, this.at);
    const isProperty = last.text === "." || last.text === "?.";
    if (atMemberName(scope)) readMemberName(scope, text, start);
    else if (!isProperty && text === "function") this.beginFunction(start);
    else if (!isProperty && text === "class") {
      this.pendingClass = assignedName(scope, last, this.last2) || (last.text === "default" ? "default" : "");
    } else if (this.pendingParams !== null && (last.text === "function" || last.text === "*")) {
      this.nameFunction(this.pendingParams, text);
    } else if (this.pendingClass === "" && last.text === "class" && text !== "extends") {
      this.pendingClass = text;
    }
    this.emit("word", text, start);
  }

  /** The word `function` at `start`: the function begins there, or at `async` before it. */
  private beginFunction(start: number): void {
    const { scope, last, last2, last3 } = this;
    const isAsync = last.kind === "word" && last.text === "async";
    const name = isAsync ? assignedName(scope, last2, last3) : assignedName(scope, last, last2);
    this.pendingParams = this.newFunction(scope.fn, name, true);
    this.byStart.set(isAsync ? last.start : start, this.pendingParams);
  }

  /** Gives a function its own name. A function with a name is not numbered. */
  private nameFunction(fn: ScannedFunction, name: string): void {
    fn.name = name;
    if (!fn.isClosure) return;
    fn.isClosure = false;
    fn.ordinal = 0;
    const parent = fn.parent ?? this.topLevel;
    parent.closures--;
  }

  private readNumber(): void {
    const { source, at: start } = this;
    this.at = numberEnd(source, start);
    if (atMemberName(this.scope)) readMemberName(this.scope, source.slice(start, this.at), start);
    this.emit("number", "0", start);
  }

  private readString(quote: number): void {
    const { source, at: start } = this;
    this.at = stringEnd(source, start, quote);
    if (atMemberName(this.scope)) readMemberName(this.scope, source.slice(start + 1, this.at - 1), start);
    this.emit("string", "''", start);
  }

  private readTemplate(): void {
    const start = this.at;
    this.at = templatePartEnd(this.source, start + 1);
    this.endTemplatePart(start, () => newScope("template", this.scope.fn, start, this.last));
  }

  /** At the end of a template's part: opens the scope of an expression, or ends the template. */
  private endTemplatePart(start: number, scope: () => Scope): void {
    if (this.source.startsWith("${", this.at)) {
      this.push(scope());
      this.at += 2;
      this.emit("punct", "${", start);
    } else {
      this.at++;
      this.emit("string", "``", start);
    }
  }

  private readRegex(): void {
    const start = this.at;
    this.at = regexEnd(this.source, start);
    this.emit("string", "//", start);
  }

  /** Brackets, and the signs that matter. Each other sign is one token for each character. */
  private readSign(): void {
    const start = this.at++;
    const sign = this.source[start];
    switch (sign) {
      case "(":
        this.openParenthesis(start);
        break;
      case ")":
      case "]":
        this.closeBracket(sign, start);
        return;
      case "[":
        this.openBracket(start);
        break;
      case "{":
        this.openBrace(start);
        break;
      case "}":
        this.closeBrace(start);
        return;
      case "=":
        if (this.readArrow(start)) return;
        break;
      case ",":
        this.endArrows();
        if (this.scope.kind === "object") this.scope.member = null;
        break;
      case ";":
        this.endArrows();
        this.pendingBody = null;
        if (this.scope.kind === "class") this.scope.member = null;
        break;
      case ".":
        if (this.readSpread(start)) return;
        break;
      case "?":
        if (this.readQuestionMark(start)) return;
        break;
      case ":":
        this.readColon();
        break;
      case "+":
      case "-":
        if (this.source[this.at] === sign) {
          this.at++;
          this.emit("punct", sign + sign, start);
          return;
        }
        break;
    }
    this.emit("punct", sign, start);
  }

  private openParenthesis(start: number): void {
    const { scope } = this;
    const next = newScope("(", scope.fn, start, this.last);
    let fn = this.pendingParams;
    this.pendingParams = null;
    if (fn === null && isMemberScope(scope) && scope.member?.done === true) fn = this.newMethod(scope);
    if (fn !== null) {
      next.params = fn;
      next.fn = fn;
      this.byStart.set(start, fn);
    }
    this.push(next);
  }

  private closeBracket(sign: ")" | "]", start: number): void {
    this.endArrows();
    const inner = this.scope;
    this.pop();
    if (inner.params !== null) this.pendingBody = inner.params;
    const { scope } = this;
    if (sign === "]" && isMemberScope(scope) && scope.member?.key === COMPUTED_OPEN) {
      scope.member.key = COMPUTED;
      scope.member.done = true;
    }
    this.emit("punct", sign, start);
    if (sign === ")") this.closed = inner;
  }

  private openBracket(start: number): void {
    const { scope } = this;
    if (atMemberName(scope)) {
      readMemberName(scope, COMPUTED_OPEN, start);
      scope.member!.done = false;
    }
    this.push(newScope("[", scope.fn, start, this.last));
  }

  private openBrace(start: number): void {
    const { scope, last } = this;
    if (this.pendingBody !== null) {
      this.push(newScope("block", this.pendingBody, start, last));
      this.pendingBody = null;
    } else if (this.pendingClass !== null) {
      const next = newScope("class", scope.fn, start, last);
      next.className = this.pendingClass || "class";
      this.pendingClass = null;
      this.push(next);
    } else if (last.text === "static" && scope.kind === "class") {
      scope.member = null;
      this.push(newScope("block", scope.fn, start, last));
    } else {
      this.push(newScope(objectMayFollow(last, scope) ? "object" : "block", scope.fn, start, last));
    }
  }

  private closeBrace(start: number): void {
    this.endArrows();
    const inner = this.scope;
    this.pop();
    if (inner.kind === "template") {
      this.at = templatePartEnd(this.source, this.at);
      this.endTemplatePart(start, () => inner);
      return;
    }
    // In a class, a member that ends with a brace needs no comma or semicolon.
    if (this.scope.kind === "class" && inner.kind === "block") this.scope.member = null;
    this.emit("punct", inner.kind === "object" ? OBJECT_END : "}", start);
  }

  /** Reads `=>`; false if the `=` at `start` begins none. */
  private readArrow(start: number): boolean {
    if (this.source[this.at] !== ">") return false;
    this.at++;
    const fn = this.newArrow();
    if (nextIsBrace(this.source, this.at)) this.pendingBody = fn;
    else this.push(newScope("arrow", fn, start, this.last));
    this.emit("punct", "=>", start);
    return true;
  }

  /** Reads `...`; false for a single dot. */
  private readSpread(start: number): boolean {
    if (!this.source.startsWith("..", this.at)) return false;
    this.at += 2;
    // The spread expression is no member's name.
    if (this.scope.kind === "object") {
      this.scope.member = { start, keyStart: -1, key: "...", isStatic: false, accessor: "", done: true };
    }
    this.emit("punct", "...", start);
    return true;
  }

  /** Reads `?.`; false for `?`, which begins a condition, and for `??`. */
  private readQuestionMark(start: number): boolean {
    const { source, at } = this;
    if (source[at] === "." && !isDigit(source.charCodeAt(at + 1))) {
      this.at++;
      this.emit("punct", "?.", start);
      return true;
    }
    if (source[at] === "?") this.at++;
    else this.scope.ternaries++;
    return false;
  }

  /** The colon of a condition around an arrow ends the arrow. */
  private readColon(): void {
    while (this.scope.kind === "arrow" && this.scope.ternaries === 0) this.pop();
    if (this.scope.ternaries > 0) this.scope.ternaries--;
  }

  private push(next: Scope): void {
    next.outerClass = this.pendingClass;
    this.pendingClass = null;
    this.outer.push(this.scope);
    this.scope = next;
  }

  private pop(): void {
    this.pendingClass = this.scope.outerClass;
    this.scope = this.outer.pop() ?? this.bottom;
  }

  private endArrows(): void {
    while (this.scope.kind === "arrow") this.pop();
  }

  private emit(kind: Token["kind"], text: string, start: number): void {
    this.last3 = this.last2;
    this.last2 = this.last;
    this.last = { kind, text, start };
    this.closed = null;
  }

  private newFunction(parent: ScannedFunction | null, name: string, isClosure: boolean): ScannedFunction {
    const outer = parent ?? this.topLevel;
    const ordinal = isClosure ? ++outer.closures : 0;
    return { name, className: "", isStatic: false, accessor: "", isClosure, parent, ordinal, closures: 0 };
  }

  /** The method whose parameters begin, if the scope's member is a method. */
  private newMethod(scope: Scope): ScannedFunction | null {
    const member = scope.member!;
    const { last } = this;
    // In `x = f(` and `x: f(`, more lies between the name and the parenthesis.
    const isName = last.start === member.keyStart || (member.key === COMPUTED && last.text === "]");
    if (!isName) return null;
    const fn = this.newFunction(scope.fn, member.key, false);
    fn.className = scope.className;
    fn.isStatic = member.isStatic;
    fn.accessor = member.accessor;
    this.byStart.set(member.start, fn);
    this.byStart.set(member.keyStart, fn);
    return fn;
  }

  /** The arrow function whose `=>` was read: its parameters are the last token, or the parentheses closed last. */
  private newArrow(): ScannedFunction {
    const { scope, closed, last, last2, last3 } = this;
    let start = last.start;
    let before = last2;
    let before2 = last3;
    if (closed !== null) {
      start = closed.start;
      before = closed.before;
      before2 = NO_TOKEN;
    }
    const isAsync = before.kind === "word" && before.text === "async";
    if (isAsync) {
      start = before.start;
      before = closed === null ? last3 : this.tokenBefore(before.start);
      before2 = NO_TOKEN;
    }
    if (before2 === NO_TOKEN && before.text === "=") before2 = this.tokenBefore(before.start);
    const fn = this.newFunction(scope.fn, assignedName(scope, before, before2), true);
    this.byStart.set(start, fn);
    if (isAsync) this.byStart.set(closed === null ? last.start : closed.start, fn);
    return fn;
  }

  /** The word or sign before a position: enough to find the variable in `x = (a, b) =>`. */
  private tokenBefore(at: number): Token {
    const { source } = this;
    let end = at;
    while (end > 0 && source.charCodeAt(end - 1) <= SPACE) end--;
    let start = end;
    while (start > 0 && isWordPart(source.charCodeAt(start - 1))) start--;
    if (start < end) return { kind: "word", text: source.slice(start, end), start };
    return end > 0 ? { kind: "punct", text: source[end - 1], start: end - 1 } : NO_TOKEN;
  }
}
