// Makes public/flame-graph.png: a browser's picture of the flame graph of an invented profile.
//
//   CHROMIUM=chromium node scripts/flame-graph.mjs      (after `pnpm build`)
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { flameGraphHTML } from "@gort/runtime/pprof-tools";

/** The call tree by indentation. Each function has the milliseconds that it spends itself, without its callees. */
const CALLS = `
main.main 10
  shop/server.serve 40
    shop/server.(*Router).handle 90
      shop/cart.(*Cart).add 60
        shop/db.(*Pool).query 210
          shop/db.parseRow 520
          shop/db.(*Buffer).grow 380
        shop/price.total 90
          shop/price.round 610
      shop/search.find 120
        shop/index.(*Index).lookup 160
          shop/index.decodeVarint 1240
          shop/index.(*Posting).merge 70
            shop/index.(*Posting).merge.func1 180
        shop/search.tokenize 80
          js.Array.map 60
            shop/search.find.func1 480
      shop/render.page 30
        shop/render.escape 440
        shop/render.template 50
          shop/render.partial 60
            shop/render.escape 1180
    node:http.onParserExecute 130
runtime.gcBgMarkWorker 20
  runtime.gcDrain 60
    runtime.scanobject 840
v8.gc 910
`;

const functions = new Map();
const locationOf = (name) => {
  let location = functions.get(name);
  if (location === undefined) {
    const file = `/srv/shop/${name.slice(0, name.indexOf(".", name.lastIndexOf("/") + 1))}.ts`;
    const line = functions.size * 7 + 3;
    const fn = { name, systemName: name, file, startLine: line };
    location = {
      mapping: null,
      address: functions.size + 1,
      lines: [{ function: fn, line, column: 0 }],
      isFolded: false,
    };
    functions.set(name, location);
  }
  return location;
};
const stack = [];
const samples = [];
for (const row of CALLS.trim().split("\n")) {
  const [, indent, name, ms] = /^( *)(.*) (\d+)$/.exec(row);
  stack.length = indent.length / 2;
  stack.push(name);
  const locations = [...stack].reverse().map(locationOf);
  samples.push({ locations, values: [Number(ms) / 10, Number(ms) * 1e6], labels: [] });
}
const html = flameGraphHTML(
  {
    sampleTypes: [
      { type: "samples", unit: "count" },
      { type: "cpu", unit: "nanoseconds" },
    ],
    defaultSampleType: "",
    samples,
    mappings: [],
    periodType: { type: "cpu", unit: "nanoseconds" },
    period: 1e7,
    timeNanos: 0n,
    durationNanos: 10_000_000_000n,
    comments: [],
    dropFrames: "",
    keepFrames: "",
    docUrl: "",
  },
  { title: "cpu.pprof" },
);

const dir = mkdtempSync(join(tmpdir(), "flame-"));
try {
  const page = join(dir, "flame.html");
  writeFileSync(page, html);
  const out = fileURLToPath(new URL("../public/flame-graph.png", import.meta.url));
  const args = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--window-size=1100,250",
  ];
  execFileSync(
    process.env.CHROMIUM ?? "chromium",
    [...args, `--screenshot=${out}`, pathToFileURL(page).href],
    {
      stdio: "ignore",
    },
  );
} finally {
  rmSync(dir, { recursive: true, force: true });
}
