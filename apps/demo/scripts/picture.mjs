// Makes picture.svg, which the root's README shows: the heap of the program `buffers`, as garbage and recycled. The
// curves come from real runs.
//
//   pnpm build && node apps/demo/scripts/picture.mjs
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const STEPS = 160;
const main = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const out = fileURLToPath(new URL("../picture.svg", import.meta.url));

/** The curves: columns of the demo's CSV. */
const LINES = [
  { column: "HeapSys", about: "from the system", color: "#8a8f98" },
  { column: "HeapAlloc", about: "allocated", color: "#2f7ed8" },
  { column: "bytes", about: "in use", color: "#1a9c5b" },
];
/** The panels. */
const VARIANTS = [
  { name: "garbage", about: "each buffer is made anew, the old one is garbage" },
  { name: "recycler", about: "buffers are given back and used again" },
];

/** Runs a variant. Returns its rows, each an object of numbers. */
function run(variant) {
  const dir = mkdtempSync(join(tmpdir(), "gort-picture-"));
  try {
    const csv = join(dir, "rows.csv");
    const args = [
      "buffers",
      "--plain",
      "--interval",
      "0",
      "--steps",
      `${STEPS}`,
      "--variant",
      variant,
      "--csv",
      csv,
    ];
    const r = spawnSync(process.execPath, [main, ...args], { encoding: "utf8" });
    if (r.status !== 0) throw new Error(`buffers --variant ${variant} failed: ${r.stderr}`);
    const [head, ...rows] = readFileSync(csv, "utf8").trim().split("\n");
    const names = head.split(",");
    return rows.map((row) => Object.fromEntries(row.split(",").map((v, i) => [names[i], Number(v)])));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const runs = VARIANTS.map(({ name }) => run(name));
const MB = 1e6;
const top = Math.ceil(Math.max(...runs.flat().map((row) => row.HeapSys)) / (100 * MB)) * 100;

const width = 760;
const height = 250;
const panel = { width: 330, height: 150, y: 62 };
const left = (i) => 46 + i * (panel.width + 44);
const y = (mb) => panel.y + panel.height * (1 - mb / top);
const n1 = (v) => `${Math.round(v * 10) / 10}`;

const parts = VARIANTS.map(({ name, about }, i) => {
  const rows = runs[i];
  const x = (k) => left(i) + (panel.width * k) / (rows.length - 1);
  const grid = [0, 0.5, 1].map((f) => {
    const at = n1(y(f * top));
    return (
      `<path class="grid" d="M${left(i)} ${at}h${panel.width}"/>` +
      `<text class="small" x="${left(i) - 6}" y="${at}" dy="4" text-anchor="end">${f * top}</text>`
    );
  });
  const curves = LINES.map(({ column, color }) => {
    const points = rows.map((row, k) => `${n1(x(k))},${n1(y(row[column] / MB))}`);
    return `<polyline fill="none" stroke="${color}" stroke-width="1.8" points="${points.join(" ")}"/>`;
  });
  const heading =
    `<text x="${left(i)}" y="30" font-weight="600">${name}</text>` +
    `<text class="small" x="${left(i)}" y="47">${about}</text>`;
  return [heading, ...grid, ...curves].join("\n");
});
const legend = LINES.map(({ column, about, color }, i) => {
  const text = column === "bytes" ? about : `${column}: ${about}`;
  return (
    `<path d="M${46 + i * 250} 238h18" stroke="${color}" stroke-width="3"/>` +
    `<text class="small" x="${70 + i * 250}" y="242">${text} (MB)</text>`
  );
});
const label =
  `Heap of the demo's buffers program over ${STEPS} steps: ` +
  "as garbage it is collected and grows, recycled it stays level";
const style = [
  "text{font:14px system-ui,sans-serif;fill:#333}",
  ".small{font-size:12px;fill:#666}",
  ".grid{stroke:#ccc;stroke-width:.6}",
  "@media(prefers-color-scheme:dark){text{fill:#ddd}.small{fill:#aaa}.grid{stroke:#555}}",
].join("");
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">
<style>${style}</style>
${[...parts, ...legend].join("\n")}
</svg>
`;
writeFileSync(out, svg);
console.log(`${out}: ${svg.length} bytes, up to ${top} MB`);
