import type { Options } from "tsup";

type Plugin = NonNullable<Options["plugins"]>[number];

/** What esbuild makes of a constant: `var name =` at the beginning of a line. */
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
 * esbuild turns every top-level `const` into `var` when it bundles. V8 folds a constant into optimised code, and loads,
 * checks and untags a variable at each use; hot code here is full of named offsets and masks (allocator.free took 43 ns
 * instead of 30, a switch of goroutines 5 % more). So what is assigned once becomes a constant again. The column of what
 * follows on such a line moves by two, which its source map does not say.
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
 * What every published file begins and ends with: two Errors, whose places tell the runtime's code from the program's
 * in a bundle (owncode.ts of profiling and scheduler). A frozen global object must not stop a file from loading.
 */
const beginMark =
  'const gortCode = [new Error()]; try { (globalThis[Symbol.for("gort.code")] ??= []).push(gortCode); } catch {}';
const endMark = "gortCode.push(new Error());";

/**
 * How every package is built: fields of classes as tsconfig.base.json says (useDefineForClassFields: false; a field that is
 * defined before the constructor assigns it has had two values, so V8 neither folds it nor knows what is in it: an allocation took
 * 7.6 ns instead of 6.4, a free and malloc 11 instead of 9), ESM only, declarations and source maps beside the code, one shared
 * chunk for what the entries have in common (module state must exist once).
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
