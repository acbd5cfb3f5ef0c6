import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { PackageNames } from "../src/go-names.ts";

const packages = fileURLToPath(new URL("../..", import.meta.url));

describe("the package of a source file", () => {
  it("is runtime for every package of which the runtime consists", () => {
    const manifest = JSON.parse(readFileSync(`${packages}/runtime/package.json`, "utf8")) as {
      dependencies: Record<string, string>;
    };
    const parts = Object.keys(manifest.dependencies).filter((name) => name.startsWith("@gort/"));
    expect(parts).toContain("@gort/base");
    const names = new PackageNames();
    const packageOf = (name: string) => {
      const file = `${packages}/${name.slice("@gort/".length)}/src/index.ts`;
      return names.packageOf(file, file);
    };
    for (const name of [...parts, "@gort/runtime"]) expect(packageOf(name), name).toBe("runtime");
    expect(packageOf("@gort/cli")).toBe("@gort/cli/src");
  });
});
