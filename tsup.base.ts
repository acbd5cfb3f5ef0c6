import type { Options } from "tsup";

type Plugin = NonNullable<Options["plugins"]>[number];

/** The form that esbuild gives to a constant: `var name =` at the beginning of a line. */
const topLevel = /^var ([\w$]+)(?= = )/gm;

function isAssignedOnce(code: string, name: string): boolean {
  const id = name.replaceAll("$", "\\$");
  const assignment = new RegExp(
    `(?<![.\\w$])${id}\\s*(?:(?:[-+*/%&|^?]+|<<|>>>?)?=(?![=>])|\\+\\+|--)|(?:\\+\\+|--)${id}\\b`,
    "g",
  );
  return code.match(assignment)?.length === 1;
}

/**
 * Turns variables that are assigned once into constants again: esbuild makes `var` of every top-level `const` when it
 * bundles. V8 folds a constant into optimised code, but loads, checks and untags a variable at each use. Hot code is
 * full of named offsets and masks: with variables, allocator.free takes 43 ns instead of 30, and a switch of goroutines
 * 5 % more. The rest of such a line moves by two columns; its source map does not show that.
 */
const keepConstants: Plugin = {
  name: "keep-constants",
  renderChunk(code, { map }) {
    const constants = code.replace(topLevel, (found, name) =>
      isAssignedOnce(code, name) ? `const ${name}` : found,
    );
    return { code: constants, map: map ?? null };
  },
};

/**
 * Every published file begins and ends with an Error. In a bundle, their places tell the runtime's code from the
 * program's (owncode.ts of base). A file must load even if the global object is frozen.
 */
const beginMark =
  'const gortCode = [new Error()]; try { (globalThis[Symbol.for("gort.code")] ??= []).push(gortCode); } catch {}';
const endMark = "gortCode.push(new Error());";

/**
 * The build of every package: ESM only, with declarations and source maps beside the code, and one shared chunk for the
 * code that several entries use, because module state must exist once. Fields of classes follow tsconfig.base.json
 * (useDefineForClassFields: false): a field that is defined before the constructor assigns it has had two values, so V8
 * neither folds it nor knows its type. With such fields an allocation takes 7.6 ns instead of 6.4, and a free and
 * malloc 11 instead of 9.
 */
export function library(entry: Record<string, string>, more: Options = {}): Options {
  return {
    entry,
    format: ["esm"],
    dts: true,
    sourcemap: true,
    clean: true,
    splitting: true,
    target: "es2022",
    platform: "neutral",
    banner: { js: beginMark },
    footer: { js: endMark },
    ...more,
    plugins: [keepConstants, ...(more.plugins ?? [])],
  };
}
