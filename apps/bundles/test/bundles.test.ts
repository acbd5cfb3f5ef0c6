import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Browser, hasBrowser } from "./browser.ts";
import { bundlers, type Place } from "./build.ts";
import { sums } from "./expected.ts";

const root = mkdtempSync(join(tmpdir(), "gort-bundles-"));
writeFileSync(join(root, "package.json"), '{"type":"module"}');
afterAll(() => rmSync(root, { recursive: true }));

const lost = "FatalError ERR_GORT_WORKER_LOST worker 1 has ended";

/** Builds the program, with a page if the bundler makes none. Returns the folder, and the file to run or to open. */
async function built(name: string, place: Place): Promise<{ folder: string; main: string }> {
  const folder = `${name.replace(" ", "")}-${place}`;
  const out = join(root, folder);
  mkdirSync(out);
  const main = await bundlers[name](place, out);
  if (place === "node" || main.endsWith(".html")) return { folder, main };
  writeFileSync(join(out, "index.html"), `<script type="module" src="${main}"></script>`);
  return { folder, main: "index.html" };
}

describe.each(Object.keys(bundlers))("a program built with %s", (name) => {
  it("runs tasks on workers in Node, and its main module once", { timeout: 120_000 }, async () => {
    const { folder, main } = await built(name, "node");
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, folder, main), "sums"], {
      encoding: "utf8",
      timeout: 30_000,
    });
    expect([status, stderr, stdout.split("\n")]).toEqual([0, "", ["gomaxprocs 3", ...sums, ""]]);
  });
});

// Without a browser these tests can't run.
describe.skipIf(!hasBrowser)("in Chromium", () => {
  const browser = new Browser(root);
  beforeAll(() => browser.start());
  afterAll(() => browser.close());

  describe.each(Object.keys(bundlers))("a program built with %s", (name) => {
    it("runs tasks on workers, and its main module once", { timeout: 120_000 }, async () => {
      const { folder, main } = await built(name, "browser");
      expect(await browser.open(`isolated/${folder}/${main}?sums`)).toEqual(["gomaxprocs 3", ...sums]);
    });
  });

  it("without cross-origin isolation, there is one thread, and a line says why", async () => {
    const [told, ...lines] = await browser.open("plain/esbuild-browser/index.html?sums");
    expect(told).toMatch(/^gort: gomaxprocs is 1, not 3: .*SharedArrayBuffer.*cross-origin isolated/);
    expect(lines).toEqual(["gomaxprocs 1", ...sums]);
  });

  it.each([
    ["throws while it loads", "worker-throws.js", /^at the top of the worker's module \(http.*:\d+\)$/],
    ["does not exist", "gone.js", /^its module cannot be loaded$/],
    ["closes its worker while it loads", "worker-closes.js", /^it has closed itself$/],
    ["closes its worker at the first message", "worker-closes-later.js", /^it has closed itself$/],
  ])("a module of the workers that %s ends the program", async (_, file, text) => {
    const script = '<script type="module" src="faults.js"></script>';
    writeFileSync(join(root, "esbuild-browser/faults.html"), script);
    const lines = await browser.open(`isolated/esbuild-browser/faults.html?${file}`);
    expect(lines).toEqual(["gomaxprocs 3", expect.stringMatching(/./), "end"]);
    // Two workers start at once.
    const [, why] = /^FatalError ERR_GORT_WORKER_START cannot start worker [12]: Error: (.*)$/.exec(
      lines[1],
    )!;
    expect(why).toMatch(text);
  });

  it.each([
    ["a panic of a task", "panic", "RangeError - boom"],
    ["an unhandled rejection on a worker", "rejection", `${lost} by an uncaught TypeError: unhandled`],
    ["an exception of a callback on a worker", "exception", `${lost} by an uncaught TypeError: from a timer`],
    ["a worker that closes itself", "close", lost],
  ])("%s ends the program", async (_, how, text) => {
    const lines = await browser.open(`isolated/esbuild-browser/index.html?${how}`);
    // The place in the bundle follows.
    expect(lines.map((line) => line.replace(/ \(http:.*:\d+\)$/, ""))).toEqual(["gomaxprocs 3", text, "end"]);
  });
});
