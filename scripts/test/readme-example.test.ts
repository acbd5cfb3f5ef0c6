import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { promisedOutput, runExample, runReadmeExample, typescriptBlocks } from "../readme-example.ts";

/** A package that depends on @gort/runtime. */
const dependent = fileURLToPath(new URL("../../benchmarks", import.meta.url));

describe("README examples", () => {
  const dir = mkdtempSync(join(tmpdir(), "readme-example-"));
  afterAll(() => rmSync(dir, { recursive: true }));

  it("are the ts blocks, in order, among other text and blocks", () => {
    const text =
      "a\n```sh\nnpm i x\n```\n\n```ts\none();\n```\n- item\n  ```ts twoslash\n  two();\n  ```\n````ts\n```\n````\n";
    expect(typescriptBlocks(text)).toEqual(["one();\n", "two();\n", "```\n"]);
  });

  it("promise their output in a last comment, as Go's do", () => {
    expect(promisedOutput("f();\n// Output:\n// 1\n//   2  \n")).toBe("1\n  2");
    expect(promisedOutput("f();\n// Output: 3\n")).toBe("3");
    expect(promisedOutput("// Output: 3\n\nf();\n")).toBeNull();
    expect(promisedOutput("f();")).toBeNull();
  });

  it("run without their types, in a process of their own", async () => {
    writeFileSync(
      join(dir, "README.md"),
      "# x\n```ts\nconst xs: number[] = [1, 2];\nconsole.log(await Promise.resolve(xs.join()));\n// Output: 1,2\n```\n",
    );
    await expect(runReadmeExample(dir)).resolves.toMatchObject({ stdout: "1,2\n", expected: "1,2" });
  });

  it("can import packages of the workspace by name, and their own package", async () => {
    const source = (name: string) =>
      `import * as m from "${name}"; console.log(typeof m);\n// Output: object\n`;
    await runExample(source("@gort/runtime"), dependent);
    await runExample(
      source("@gort/memory"),
      fileURLToPath(new URL("../../packages/memory", import.meta.url)),
    );
  });

  it("fail if they print other text, exit with an error or never end", async () => {
    await expect(runExample("console.log(1);\n// Output: 2", dependent)).rejects.toThrow(
      "printed\n1\nand promises\n2",
    );
    await expect(runExample("process.exit(3);", dependent)).rejects.toThrow("ended with 3");
    await expect(runExample("setInterval(() => {}, 1e6);", dependent, { timeoutMs: 500 })).rejects.toThrow(
      "did not end within 500 ms",
    );
    await expect(runExample('import "no-such-package";', dependent)).rejects.toThrow("no-such-package");
    await expect(runReadmeExample(dir, { index: 1 })).rejects.toThrow("no ```ts block number 1");
  });
});
