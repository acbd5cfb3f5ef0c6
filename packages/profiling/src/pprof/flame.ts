/**
 * A flame graph as one HTML file without anything from outside: it can be mailed, archived, opened from disk. All
 * sample types are in it. The figures are embedded as JSON, the script draws only what is visible.
 *
 * The tree: equal stacks share their nodes from the root down. A node is written as [name, flat values, children],
 * names and values as numbers into one table, to keep the file small.
 */

import { flameHelp, flameScript, flameStyle } from "./flame-page.ts";
import { frameName, type PprofData, sampleIndex } from "./model.ts";

export interface FlameOptions {
  title?: string;
  /** The sample type shown first; default the profile's own. */
  sampleType?: string;
  /** Frames narrower than this part of the total, in every sample type, are left out; default 0.0001. */
  minFraction?: number;
}

/** Frames of a stack that are drawn, from the root: each takes a row of the page, and a node of its own. */
const maxDepth = 100_000;

interface FlameNode {
  name: string;
  file: string;
  /** Sums over the node and all above it, one for each sample type. */
  values: number[];
  children: Map<string, FlameNode>;
}

/** [name and file as an index, values, children] */
type Packed = [number, number[], Packed[]];

/** The flame graph of a profile as an HTML page. */
export function flameGraphHTML(profile: PprofData, options: FlameOptions = {}): string {
  const types = profile.sampleTypes;
  const first = sampleIndex(profile, options.sampleType);
  const root: FlameNode = { name: "root", file: "", values: types.map(() => 0), children: new Map() };
  const add = (node: FlameNode, values: readonly number[]): void => {
    for (let i = 0; i < values.length; i++) node.values[i] += values[i];
  };
  for (const sample of profile.samples) {
    add(root, sample.values);
    let node = root;
    let depth = 0;
    for (let i = sample.locations.length - 1; i >= 0 && depth < maxDepth; i--) {
      const l = sample.locations[i];
      const lines = l.lines.length > 0 ? [...l.lines].reverse() : [undefined];
      for (const line of lines) {
        if (++depth > maxDepth) break;
        const name = frameName(l, line);
        let child = node.children.get(name);
        if (child === undefined) {
          const file =
            line === undefined ? "" : `${line.function.file}:${line.function.startLine || line.line}`;
          node.children.set(name, (child = { name, file, values: types.map(() => 0), children: new Map() }));
        }
        add(child, sample.values);
        node = child;
      }
    }
  }

  const frames: [string, string][] = [];
  const frameIds = new Map<string, number>();
  const min = options.minFraction ?? 0.0001;
  const shown = (node: FlameNode) => node.values.some((v, i) => Math.abs(v) > Math.abs(root.values[i]) * min);
  const pack = (node: FlameNode): Packed => {
    const key = `${node.name}\n${node.file}`;
    let id = frameIds.get(key);
    if (id === undefined) {
      frameIds.set(key, (id = frames.length));
      frames.push([node.name, node.file]);
    }
    return [id, node.values, []];
  };
  // Without recursion: stacks may be deeper than ours.
  const tree = pack(root);
  const todo: [FlameNode, Packed][] = [[root, tree]];
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    const [node, packed] = at;
    const children = [...node.children.values()].filter(shown);
    children.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const child of children) {
      const out = pack(child);
      packed[2].push(out);
      todo.push([child, out]);
    }
  }

  const title = options.title ?? `Flame graph: ${types[first]?.type ?? "profile"}`;
  const data = { types, first, frames, tree };
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHTML(title)}</title>
<style>${flameStyle}</style>
</head>
<body>
<header>
<h1>${escapeHTML(title)}</h1>
<select id="type" aria-label="Sample type"></select>
<input id="search" type="search" placeholder="Search (regular expression)" aria-label="Search">
<output id="found" aria-label="Matched"></output>
<button id="reset" type="button">Reset zoom</button>
<button id="keys" type="button" aria-label="Keys">?</button>
</header>
<main id="graph" tabindex="0" aria-label="Flame graph" aria-describedby="info"></main>
<aside id="help" hidden>${flameHelp}</aside>
<footer id="info" aria-live="polite">&nbsp;</footer>
<script type="application/json" id="data">${escapeScript(stringify(data))}</script>
<script>${flameScript}</script>
</body>
</html>
`;
}

/** JSON.stringify recurses; a tree deeper than its stack allows is written by hand. */
function stringify(data: { types: unknown; first: number; frames: unknown; tree: Packed }): string {
  let tree = "";
  const todo: (Packed | string)[] = [data.tree];
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    if (typeof at === "string") {
      tree += at;
      continue;
    }
    const [id, values, children] = at;
    tree += `[${id},[${values.join()}],[`;
    todo.push("]]");
    for (let i = children.length - 1; i >= 0; i--) {
      todo.push(children[i]);
      if (i > 0) todo.push(",");
    }
  }
  const { types, first, frames } = data;
  return `{"types":${JSON.stringify(types)},"first":${first},"frames":${JSON.stringify(frames)},"tree":${tree}}`;
}

function escapeHTML(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** Text that can't end the script element it stands in. */
function escapeScript(json: string): string {
  return json.replaceAll("<", "\\u003c").replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
}
