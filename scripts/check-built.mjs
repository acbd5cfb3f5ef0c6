// Refuses to pack a package that is not built: `prepack` of every published package runs this file in the folder of
// the package. Without it, a pack before a build makes a tarball without code.
//
//   node ../../scripts/check-built.mjs
//
// Every file that package.json points at (exports of publishConfig or else exports, bin, main, types) must exist.
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";

/** The paths in a value of package.json: a path, or an object of paths by name or condition. */
function paths(value) {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(paths);
}

const manifest = JSON.parse(readFileSync("package.json", "utf8"));
const published = { ...manifest, ...manifest.publishConfig };
const files = [published.exports, published.bin, published.main, published.types].flatMap(paths);
const missing = [...new Set(files)].filter((file) => !existsSync(resolve(file)));
if (missing.length > 0) {
  console.error(
    `${manifest.name} is not built: ${missing.join(", ")} not found. Run \`pnpm build\` at the root first.`,
  );
  process.exit(1);
}
