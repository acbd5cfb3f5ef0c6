import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { runExample, typescriptBlocks } from "../../../scripts/readme-example.ts";

const site = fileURLToPath(new URL("..", import.meta.url));
// A reader has installed @gort/runtime; so has this site.
const project = site;

const pages = readdirSync(site).filter((file) => file.endsWith(".md"));
const samples = pages.flatMap((page) =>
  typescriptBlocks(readFileSync(`${site}/${page}`, "utf8")).map((source, index) => ({
    page,
    number: index + 1,
    source,
  })),
);

describe("the site", () => {
  it("has samples", () => {
    expect(new Set(samples.map(({ page }) => page))).toContain("getting-started.md");
  });

  it.each(samples)("runs sample $number of $page as pasted", async ({ source }) => {
    await runExample(source, project);
  });
});
