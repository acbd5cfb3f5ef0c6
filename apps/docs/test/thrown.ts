/** What the sources throw that has a code: read from their syntax trees, for the page that lists it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const packages = fileURLToPath(new URL("../../../packages", import.meta.url));

/** Constructors, and functions that do nothing but throw one of them. */
const classes =
  /^(RuntimeError|PlainError|BoundsError|TypeAssertionError|PanicNilError|PanicError|FatalError)$/;
const helpers = /^(throwFatal|fatalThrow|lockError|fatal)$/;

export interface Thrown {
  /** Where: package and line. */
  at: string;
  /** The text, with … for what is filled in; empty where the caller of a helper gives it. */
  message: string;
}

/** A text with … for its expressions; of a choice, both. */
function texts(node: ts.Expression): string[] {
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isTemplateExpression(node)) {
    return [node.head.text + node.templateSpans.map((s) => `…${s.literal.text}`).join("")];
  }
  if (ts.isConditionalExpression(node)) return [...texts(node.whenTrue), ...texts(node.whenFalse)];
  if (ts.isParenthesizedExpression(node)) return texts(node.expression);
  return [];
}

export function sourceFiles(): string[] {
  return readdirSync(packages).flatMap((name) =>
    readdirSync(join(packages, name, "src"), { recursive: true })
      .map((file) => join(packages, name, "src", String(file)))
      .filter((file) => file.endsWith(".ts")),
  );
}

/** Every error with a code that the packages throw, and every code that they name. */
export function thrown(): { errors: Thrown[]; codes: Set<string>; strays: string[] } {
  const errors: Thrown[] = [];
  const codes = new Set<string>();
  const strays: string[] = [];
  for (const file of sourceFiles()) {
    const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true);
    const where = (node: ts.Node): string =>
      `${file.slice(packages.length + 1)}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
    /** What is a code, or looks like one: arguments of an error, defaults and values of `code`. */
    const code = (node: ts.Expression | undefined): void => {
      for (const text of node === undefined ? [] : texts(node)) {
        if (/^ERR_GORT_[A-Z]+(_[A-Z]+)*$/.test(text)) codes.add(text);
        else strays.push(`${where(node!)} ${text}`);
      }
    };
    const visit = (node: ts.Node): void => {
      if (
        (ts.isNewExpression(node) &&
          ts.isIdentifier(node.expression) &&
          classes.test(node.expression.text)) ||
        (ts.isCallExpression(node) &&
          ts.isIdentifier(node.expression) &&
          helpers.test(node.expression.text)) ||
        (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.SuperKeyword)
      ) {
        const args = [...(node.arguments ?? [])].map(texts);
        const isMessage = (t: string): boolean => t.includes(" ");
        for (const t of args.flat()) {
          if (!isMessage(t) && t !== "throw" && t !== "fatal" && /^[A-Z_]{2,}$/.test(t)) {
            if (/^ERR_GORT_/.test(t)) codes.add(t);
            else strays.push(`${where(node)} ${t}`);
          }
        }
        // The detail comes after the message.
        const message = args.find((list) => list.some(isMessage)) ?? [];
        // A class whose text is its callers' affair.
        const general = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.SuperKeyword;
        for (const t of message)
          if (!general || !t.includes("…")) errors.push({ at: where(node), message: t });
      }
      if (
        (ts.isParameter(node) || ts.isPropertyDeclaration(node)) &&
        node.name.getText() === "code" &&
        node.initializer !== undefined
      ) {
        code(node.initializer);
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return { errors, codes, strays };
}
