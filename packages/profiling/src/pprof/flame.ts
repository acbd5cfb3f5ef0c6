/**
 * A flame graph as one HTML file that loads nothing from outside: it can be mailed, archived and opened from disk. It
 * has all sample types. The figures are embedded as JSON, and the script (flame-page.ts) draws only the visible
 * frames.
 *
 * The tree: equal stacks share their nodes from the root down. A node is written as [frame, values, children]. To keep
 * the file small, the frame is an index into one table of names and files.
 */

import { FLAME_HELP, FLAME_SCRIPT, FLAME_STYLE } from "./flame-page.ts";
import { frameName, type PprofData, sampleIndex, type ValueType } from "./model.ts";

export interface FlameOptions {
  title?: string;
  /** The sample type that is shown first; default the profile's own. */
  sampleType?: string;
  /** Frames narrower than this part of the total, in every sample type, are left out; default 0.0001. */
  minFraction?: number;
}

const DEFAULT_MIN_FRACTION = 0.0001;
/** Frames of a stack that are drawn, from the root: each takes a row of the page, and a node of its own. */
const MAX_DEPTH = 100_000;

interface FlameNode {
  name: string;
  file: string;
  /** The values of all samples whose stacks go through the node, one for each sample type. */
  values: number[];
  children: Map<string, FlameNode>;
}

/** [index of name and file, values, children] */
type Packed = [number, number[], Packed[]];

/** The data that is embedded in the page. */
interface FlameData {
  types: readonly ValueType[];
  first: number;
  /** Names and files. */
  frames: [string, string][];
  tree: Packed;
}

/** The tree of all stacks: equal stacks share their nodes from the root down. */
function flameTree({ sampleTypes, samples }: PprofData): FlameNode {
  const newNode = (name: string, file: string): FlameNode => ({
    name,
    file,
    values: sampleTypes.map(() => 0),
    children: new Map(),
  });
  const add = (node: FlameNode, values: readonly number[]): void => {
    for (let i = 0; i < values.length; i++) node.values[i] += values[i];
  };
  const root = newNode("root", "");
  for (const { values, locations } of samples) {
    add(root, values);
    let node = root;
    let depth = 0;
    for (let i = locations.length - 1; i >= 0 && depth < MAX_DEPTH; i--) {
      const l = locations[i];
      const lines = l.lines.length > 0 ? [...l.lines].reverse() : [undefined];
      for (const line of lines) {
        if (++depth > MAX_DEPTH) break;
        const name = frameName(l, line);
        let child = node.children.get(name);
        if (child === undefined) {
          const file =
            line === undefined ? "" : `${line.function.file}:${line.function.startLine || line.line}`;
          node.children.set(name, (child = newNode(name, file)));
        }
        add(child, values);
        node = child;
      }
    }
  }
  return root;
}

/** The tree as data, without the nodes that are narrower than `minFraction` in every sample type. */
function packTree(root: FlameNode, minFraction: number): Pick<FlameData, "frames" | "tree"> {
  const frames: [string, string][] = [];
  const frameIds = new Map<string, number>();
  const isShown = (node: FlameNode) =>
    node.values.some((v, i) => Math.abs(v) > Math.abs(root.values[i]) * minFraction);
  const pack = (node: FlameNode): Packed => {
    const key = `${node.name}\n${node.file}`;
    let id = frameIds.get(key);
    if (id === undefined) {
      frameIds.set(key, (id = frames.length));
      frames.push([node.name, node.file]);
    }
    return [id, node.values, []];
  };
  // Not recursive: a stack of the profile may be deeper than the stack of this thread allows.
  const tree = pack(root);
  const todo: [FlameNode, Packed][] = [[root, tree]];
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    const [node, packed] = at;
    const children = [...node.children.values()].filter(isShown);
    children.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const child of children) {
      const out = pack(child);
      packed[2].push(out);
      todo.push([child, out]);
    }
  }
  return { frames, tree };
}

/** The flame graph of a profile as an HTML page. */
export function flameGraphHTML(profile: PprofData, options: FlameOptions = {}): string {
  const types = profile.sampleTypes;
  const first = sampleIndex(profile, options.sampleType);
  const title = options.title ?? `Flame graph: ${types[first]?.type ?? "profile"}`;
  const packed = packTree(flameTree(profile), options.minFraction ?? DEFAULT_MIN_FRACTION);
  const data: FlameData = { types, first, ...packed };
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHTML(title)}</title>
<style>${FLAME_STYLE}</style>
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
<aside id="help" hidden>${FLAME_HELP}</aside>
<footer id="info" aria-live="polite">&nbsp;</footer>
<script type="application/json" id="data">${escapeScript(stringify(data))}</script>
<script>${FLAME_SCRIPT}</script>
</body>
</html>
`;
}

/** JSON.stringify recurses, and the tree may be deeper than its stack allows: so the tree is written here. */
function stringify(data: FlameData): string {
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

/** Text that cannot end the script element around it. */
function escapeScript(json: string): string {
  return json.replaceAll("<", "\\u003c").replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
}
