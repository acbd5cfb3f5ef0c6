/** Reads the errors with a code from the syntax trees of all packages. errors.test.ts compares them with errors.md. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const packages = fileURLToPath(new URL("../../../packages", import.meta.url));

/** Constructors of errors with a code. */
const CLASSES =
  /^(RuntimeError|PlainError|BoundsError|TypeAssertionError|PanicNilError|PanicError|FatalError)$/;
/** Functions that only throw such an error. */
const HELPERS = /^(throwFatal|fatalThrow|lockError|fatal)$/;
const CODE = /^ERR_GORT_[A-Z]+(_[A-Z]+)*$/;

export interface Thrown {
  /** Package, file and line. */
  at: string;
  /** The text, with … for each expression in it. */
  message: string;
}

/** What the walk over the sources collects. */
interface Found {
  errors: Thrown[];
  codes: Set<string>;
  /** Arguments that stand where a code stands but do not look like one. */
  strays: string[];
}

/** The texts that an expression can have, with … for what it fills in. A choice has two. */
function texts(node: ts.Expression): string[] {
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isTemplateExpression(node)) {
    return [node.head.text + node.templateSpans.map((s) => `…${s.literal.text}`).join("")];
  }
  if (ts.isConditionalExpression(node)) return [...texts(node.whenTrue), ...texts(node.whenFalse)];
  if (ts.isParenthesizedExpression(node)) return texts(node.expression);
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) {
    return texts(node.left).flatMap((left) => texts(node.right).map((right) => left + right));
  }
  return [];
}

/** Whether a text is a message, and not a kind or a code. */
const isMessage = (text: string): boolean => text.includes(" ");

function isSuperCall(node: ts.Node): node is ts.CallExpression {
  return ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.SuperKeyword;
}

/** Whether the node makes an error with a code: by its class, by a helper, or by `super` in a subclass. */
function makesError(node: ts.Node): node is ts.NewExpression | ts.CallExpression {
  if (isSuperCall(node)) return true;
  if (ts.isNewExpression(node)) return ts.isIdentifier(node.expression) && CLASSES.test(node.expression.text);
  return ts.isCallExpression(node) && ts.isIdentifier(node.expression) && HELPERS.test(node.expression.text);
}

/** The default of a parameter `code`, or the value of a property `code`. */
function codeValue(node: ts.Node): ts.Expression | undefined {
  const named = ts.isParameter(node) || ts.isPropertyDeclaration(node);
  return named && node.name.getText() === "code" ? node.initializer : undefined;
}

export function sourceFiles(): string[] {
  return readdirSync(packages).flatMap((name) =>
    readdirSync(join(packages, name, "src"), { recursive: true })
      .map((file) => join(packages, name, "src", String(file)))
      .filter((file) => file.endsWith(".ts")),
  );
}

function collectError(node: ts.NewExpression | ts.CallExpression, at: string, found: Found): void {
  const args = [...(node.arguments ?? [])].map(texts);
  for (const text of args.flat()) {
    if (text === "throw" || text === "fatal" || !/^[A-Z_]{2,}$/.test(text)) continue;
    if (text.startsWith("ERR_GORT_")) found.codes.add(text);
    else found.strays.push(`${at} ${text}`);
  }
  // The message is the first text: the detail comes after it.
  const messages = args.find((list) => list.some(isMessage)) ?? [];
  for (const message of messages) {
    // A subclass that takes a part of its text from its callers has no message of its own.
    if (isSuperCall(node) && message.includes("…")) continue;
    found.errors.push({ at, message });
  }
}

/** Every error with a code that the packages throw, and every code that they name. */
export function thrown(): Found {
  const found: Found = { errors: [], codes: new Set(), strays: [] };
  for (const file of sourceFiles()) {
    const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true);
    const where = (node: ts.Node): string => {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart());
      return `${file.slice(packages.length + 1)}:${line + 1}`;
    };
    const visit = (node: ts.Node): void => {
      if (makesError(node)) collectError(node, where(node), found);
      const code = codeValue(node);
      for (const text of code === undefined ? [] : texts(code)) {
        if (CODE.test(text)) found.codes.add(text);
        else found.strays.push(`${where(node)} ${text}`);
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return found;
}
