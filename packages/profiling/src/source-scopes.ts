/**
 * The tokens of JavaScript that the scanner keeps, its scopes, and what may come where: a member's name, a regular
 * expression, an object literal.
 */

/** A function in a file. */
export interface ScannedFunction {
  /** Its own name, or the name of the variable or property to which it is assigned; "" for none. */
  name: string;
  /** The class of a method, accessor or constructor; "" for other functions. */
  className: string;
  isStatic: boolean;
  accessor: "" | "get" | "set";
  /** A function expression without a name of its own, or an arrow: Go would number it. */
  isClosure: boolean;
  /** The function around it; null: the module. */
  parent: ScannedFunction | null;
  /** Its number among the closures of its parent, from 1; 0 for a function that is no closure. */
  ordinal: number;
  /** How many closures lie directly in it. */
  closures: number;
}

/** An open bracket, or an arrow's body without braces. */
export interface Scope {
  kind: "(" | "[" | "block" | "object" | "class" | "template" | "arrow";
  /** The innermost function inside the bracket; null: the module. */
  fn: ScannedFunction | null;
  /** The bracket's position: an arrow function begins at the parenthesis of its parameters. */
  start: number;
  /** The name of a class, for its body. */
  className: string;
  /** The token before the bracket. */
  before: Token;
  /** For parentheses: the function whose parameters they hold. */
  params: ScannedFunction | null;
  /** In a class or an object literal: the member that is being read. */
  member: Member | null;
  /** The class whose body is still to come, behind this bracket: `class A extends f(`. */
  outerClass: string | null;
  /** Question marks whose colons are still to come. */
  ternaries: number;
}

/** A member of a class or an object literal. */
export interface Member {
  start: number;
  keyStart: number;
  key: string;
  isStatic: boolean;
  accessor: "" | "get" | "set";
  /** The name is complete: the member's value or parameters follow. */
  done: boolean;
}

export interface Token {
  kind: "word" | "number" | "string" | "punct" | "none";
  text: string;
  start: number;
}

export const NO_TOKEN: Token = { kind: "none", text: "", start: -1 };
/** The text of the token `}` that closes an object literal. A division may follow it, but not the `}` of a block. */
export const OBJECT_END = "}object";
/** The key of a member with a computed name, before and after its `]`. */
export const COMPUTED_OPEN = "[";
export const COMPUTED = "[computed]";

/** After these words an expression begins: `/` then begins a regular expression, and `{` an object literal. */
const BEFORE_EXPRESSION = new Set(
  "return typeof instanceof in of new delete void throw case yield await default else do extends".split(" "),
);
/** Words before a member's name, or `*` for a generator. Each may also be the name itself. */
export const MODIFIERS = new Set(["static", "async", "get", "set", "accessor", "*"]);
const CONDITION = /^(?:if|while|for|with)$/;
const EXPRESSION_END = /^(?:\)|\]|\}|\}object|\+\+|--)$/;

export function newScope(
  kind: Scope["kind"],
  fn: ScannedFunction | null,
  start: number,
  before: Token,
): Scope {
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

export function isMemberScope(scope: Scope): boolean {
  return scope.kind === "class" || scope.kind === "object";
}

/** Whether the next token is, or belongs to, the name of a member of a class or an object literal. */
export function atMemberName(scope: Scope): boolean {
  if (!isMemberScope(scope)) return false;
  if (scope.member === null) return true;
  return !scope.member.done || MODIFIERS.has(scope.member.key);
}

/** Takes a token as the member's name. If the member has a name already, that name is a modifier. */
export function readMemberName(scope: Scope, text: string, start: number): void {
  const before = scope.member;
  const member: Member = { start, keyStart: start, key: text, isStatic: false, accessor: "", done: true };
  if (before !== null) {
    member.start = before.start;
    member.isStatic = before.isStatic || before.key === "static";
    member.accessor = before.key === "get" || before.key === "set" ? before.key : before.accessor;
  }
  scope.member = member;
}

/** The variable or property to which the expression behind `before` is assigned, or "". */
export function assignedName(scope: Scope, before: Token, before2: Token): string {
  if (before.text === "=" && before2.kind === "word") return before2.text;
  if (scope.kind === "object" && before.text === ":" && scope.member !== null) return scope.member.key;
  return "";
}

/** Whether a `/` after this token begins a regular expression. */
export function regexMayFollow(last: Token, closed: Scope | null): boolean {
  switch (last.kind) {
    case "none":
      return true;
    case "number":
    case "string":
      return false;
    case "word":
      return BEFORE_EXPRESSION.has(last.text);
    case "punct":
      // After `if (...)` an expression may begin. After other parentheses the slash divides.
      if (last.text === ")") return closed !== null && CONDITION.test(closed.before.text);
      return last.text !== "]" && last.text !== OBJECT_END && last.text !== "++" && last.text !== "--";
  }
}

/** Whether a `{` after this token begins an object literal. */
export function objectMayFollow(last: Token, scope: Scope): boolean {
  if (last.kind === "word")
    return last.text !== "else" && last.text !== "do" && BEFORE_EXPRESSION.has(last.text);
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
export function endsExpression(last: Token): boolean {
  if (last.kind === "punct") return EXPRESSION_END.test(last.text);
  if (last.kind === "word") return !BEFORE_EXPRESSION.has(last.text);
  return last.kind !== "none";
}
