/**
 * Refuses every `!` and every `as T` that changes no type. This check needs types, so biome cannot make it; all other
 * rules are biome's.
 */
import tseslint from "typescript-eslint";

export default [
  { ignores: ["**/dist/**", ".mutants/**", "**/node_modules/**", "**/.vitepress/**", "**/*.generated.ts"] },
  {
    files: [
      "packages/*/{src,test,scripts,bench,conformance}/**/*.ts",
      "apps/*/**/*.ts",
      "benchmarks/**/*.ts",
      "scripts/**/*.ts",
    ],
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: "off" },
    plugins: { "@typescript-eslint": tseslint.plugin },
    rules: { "@typescript-eslint/no-unnecessary-type-assertion": "error" },
  },
];
