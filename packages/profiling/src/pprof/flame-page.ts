/** Style and script of the flame graph's page. The script runs in a browser, and uses only the DOM. */

export const FLAME_STYLE = `
:root { color-scheme: light dark; --bg: #fff; --fg: #1b1b1b; --dim: #666; --ink: #1b1b1b; --l: 70%; --focus: #0b57d0; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #181818; --fg: #e6e6e6; --dim: #9a9a9a; --ink: #fff; --l: 33%; --focus: #8ab4f8; }
}
* { box-sizing: border-box; }
body { margin: 0; font: 12px/1.4 ui-sans-serif, system-ui, sans-serif; background: var(--bg); color: var(--fg); }
header { position: sticky; top: 0; z-index: 1; display: flex; gap: 8px; align-items: center; padding: 8px;
  flex-wrap: wrap; background: var(--bg); }
h1 { font-size: 14px; margin: 0 auto 0 0; overflow-wrap: anywhere; }
select, input, button { font: inherit; padding: 2px 6px; }
#search { width: 22em; max-width: 100%; }
#search:invalid { outline: 2px solid #d33; }
#found { min-width: 9em; font-variant-numeric: tabular-nums; }
#graph { position: relative; margin: 0 8px 40px; overflow: hidden; outline-offset: 3px; }
#graph.empty { padding: 2em; text-align: center; color: var(--dim); }
.frame { position: absolute; height: 18px; padding: 0 4px; overflow: hidden; white-space: pre; text-overflow: ellipsis;
  border: 0 solid var(--bg); border-width: 0 1px 1px 0; border-radius: 3px; cursor: pointer; color: var(--ink); }
.frame:hover { filter: brightness(1.12); }
.frame.outer { opacity: .55; }
.frame.other { opacity: .35; }
.frame.match { background: #c026d3 !important; color: #fff; }
.frame.selected { opacity: 1; outline: 2px solid var(--focus); outline-offset: -2px; }
footer { position: fixed; bottom: 0; left: 0; right: 0; padding: 6px 8px; background: var(--bg);
  border-top: 1px solid #8884; font-family: ui-monospace, monospace; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
kbd { padding: 0 3px; border: 1px solid #8888; border-radius: 3px; }
#help { position: fixed; right: 8px; bottom: 36px; padding: 10px 14px; background: var(--bg);
  border: 1px solid #8888; border-radius: 6px; }
#help p { margin: 3px 0; }
`;

/** The keys, for the page's help. */
export const FLAME_HELP = `
<p><kbd>click</kbd> or <kbd>Enter</kbd>: zoom to a frame</p>
<p><kbd>&larr;</kbd> <kbd>&rarr;</kbd> <kbd>&uarr;</kbd> <kbd>&darr;</kbd>: go to a neighbour, caller, callee</p>
<p><kbd>Escape</kbd>: zoom out; <kbd>Home</kbd>: all the way</p>
<p><kbd>/</kbd>: search; <kbd>?</kbd>: this help</p>
`;

export const FLAME_SCRIPT = `
"use strict";
const { types, first, frames, tree } = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const graph = byId("graph"), info = byId("info"), help = byId("help");
const select = byId("type"), search = byId("search"), found = byId("found");
/** Rows below the zoomed frame that are drawn. Zooming in shows deeper rows. */
const maxRows = 1000, rowHeight = 19, charWidth = 6.6;
let type = first, zoom = tree, pattern = null, selected = null;
/** The drawn elements, by node. */
let drawn = new Map();
types.forEach((t, i) => select.append(new Option(t.type + " (" + t.unit + ")", i, i === first, i === first)));
const parents = new Map();
/** Sample types that have negative values: of a difference between two profiles. */
const signed = types.map(() => false);
for (const todo = [tree]; todo.length; ) {
  const node = todo.pop();
  node[1].forEach((v, i) => { if (v < 0) signed[i] = true; });
  for (const child of node[2]) { parents.set(child, node); todo.push(child); }
}
const units = { bytes: [["B", 1], ["kB", 1024], ["MB", 1048576], ["GB", 1073741824]],
  nanoseconds: [["ns", 1], ["us", 1e3], ["ms", 1e6], ["s", 1e9]] };
function format(v) {
  const own = units[types[type].unit];
  if (!own) return v.toLocaleString("en");
  let unit = own[0];
  for (const u of own) if (Math.abs(v) >= u[1]) unit = u;
  return +(v / unit[1]).toFixed(2) + unit[0];
}
const size = (node) => Math.abs(node[1][type]);
const name = (node) => node === tree ? "all" : frames[node[0]][0];
function percent(node, of) {
  const all = size(of);
  return (all ? 100 * size(node) / all : 0).toFixed(2) + "%";
}
function color(node) {
  if (signed[type]) {
    // More is red, less is blue; the width shows how much.
    const v = node[1][type];
    return v === 0 ? "hsl(0 0% var(--l))" : "hsl(" + (v > 0 ? 8 : 212) + " 65% var(--l))";
  }
  const n = name(node);
  let h = 0, s = 0;
  for (const c of n.slice(0, n.indexOf(".", n.lastIndexOf("/") + 1))) h = (h * 31 + c.charCodeAt(0)) | 0;
  for (const c of n) s = (s * 31 + c.charCodeAt(0)) | 0;
  const light = "calc(var(--l) + " + (Math.abs(s >> 5) % 8) + "%)";
  return "hsl(" + (Math.abs(h) % 360) + " " + (45 + Math.abs(s) % 20) + "% " + light + ")";
}
/** The longest form of a name that fits: the whole, without its package's path, or without its package. */
function label(node, w) {
  const room = (w - 8) / charWidth, whole = name(node);
  if (room < 3) return "";
  const value = "  " + format(node[1][type]) + " (" + percent(node, tree) + ")";
  if (whole.length + value.length <= room) return whole + value;
  if (whole.length <= room) return whole;
  const base = whole.slice(whole.lastIndexOf("/") + 1);
  return base.length <= room ? base : base.slice(base.indexOf(".") + 1);
}
function draw() {
  graph.textContent = "";
  graph.className = size(tree) || tree[2].length ? "" : "empty";
  drawn = new Map();
  if (graph.className === "empty") {
    graph.textContent = "This profile has no samples.";
    graph.style.height = "";
    return;
  }
  const width = graph.clientWidth || 1000, path = [];
  for (let n = zoom; n; n = parents.get(n)) path.unshift(n);
  const rows = path.map((n, depth) => [n, depth, 0, width]);
  let depth = path.length, matched = 0, hidden = 0;
  for (const todo = [[zoom, path.length - 1, 0, width, false]]; todo.length; ) {
    const [node, d, x, w, inMatch] = todo.pop();
    const hit = pattern !== null && pattern.test(name(node));
    if (hit && !inMatch) matched += size(node);
    const total = Math.max(size(node), node[2].reduce((sum, c) => sum + size(c), 0));
    let at = x;
    for (const child of node[2]) {
      const cw = total > 0 ? w * size(child) / total : 0;
      const seen = cw >= 0.5 && d + 1 < path.length + maxRows;
      if (seen) {
        rows.push([child, d + 1, at, cw]);
        depth = Math.max(depth, d + 2);
      } else if (cw >= 0.5) hidden++;
      if (seen || pattern !== null) todo.push([child, d + 1, at, cw, inMatch || hit]);
      at += cw;
    }
  }
  for (const [node, d, x, w] of rows) {
    const div = document.createElement("div");
    const hit = pattern !== null && pattern.test(name(node));
    div.className = "frame" + (d < path.length - 1 ? " outer" : "") +
      (hit ? " match" : pattern !== null ? " other" : "") + (node === selected ? " selected" : "");
    div.style.cssText = "left:" + x + "px;top:" + d * rowHeight + "px;width:" + w + "px;background:" + color(node);
    div.textContent = label(node, w);
    div.title = describe(node);
    div.onclick = () => { selected = null; zoom = node; draw(); };
    div.onmouseenter = () => { info.textContent = describe(node); };
    drawn.set(node, div);
    graph.append(div);
  }
  graph.style.height = depth * rowHeight + "px";
  const part = size(zoom) ? 100 * matched / size(zoom) : 0;
  found.textContent = pattern === null ? "" : format(matched) + " (" + part.toFixed(2) + "%)";
  info.textContent = describe(selected || zoom) + (hidden ? "  (deeper frames: zoom in)" : "");
}
function describe(node) {
  const own = node[1][type] - node[2].reduce((sum, c) => sum + c[1][type], 0), file = frames[node[0]][1];
  const ofZoom = zoom === tree ? "" : ", " + percent(node, zoom) + " of " + name(zoom);
  return name(node) + "  " + format(node[1][type]) + " (" + percent(node, tree) + ofZoom + "), own " + format(own) +
    (file ? "  " + file : "");
}
/** Goes to the nearest drawn sibling on one side. */
function sibling(node, step) {
  const parent = parents.get(node);
  if (!parent) return null;
  const all = parent[2];
  for (let i = all.indexOf(node) + step; i >= 0 && i < all.length; i += step) if (drawn.has(all[i])) return all[i];
  return null;
}
function widest(node) {
  let best = null;
  for (const child of node[2]) if (drawn.has(child) && (!best || size(child) > size(best))) best = child;
  return best;
}
function go(node) {
  if (!node) return;
  drawn.get(selected)?.classList.remove("selected");
  selected = node;
  const div = drawn.get(node);
  div.classList.add("selected");
  div.scrollIntoView({ block: "nearest" });
  info.textContent = describe(node);
}
graph.onkeydown = (e) => {
  const at = selected || zoom;
  if (e.key === "ArrowDown") go(selected ? widest(at) : at);
  else if (e.key === "ArrowUp") go(parents.get(at));
  else if (e.key === "ArrowLeft") go(sibling(at, -1));
  else if (e.key === "ArrowRight") go(sibling(at, 1));
  else if (e.key === "Enter") { zoom = at; draw(); }
  else if (e.key === "Escape") { zoom = parents.get(zoom) || tree; draw(); }
  else if (e.key === "Home") { zoom = tree; selected = null; draw(); }
  else return;
  e.preventDefault();
};
select.onchange = () => { type = +select.value; draw(); };
search.oninput = () => {
  try { pattern = search.value === "" ? null : new RegExp(search.value, "i"); search.setCustomValidity(""); }
  catch (e) { search.setCustomValidity(e.message); }
  draw();
};
search.onkeydown = (e) => {
  if (e.key !== "Escape") return;
  search.value = "";
  search.oninput();
  graph.focus();
};
byId("reset").onclick = () => { zoom = tree; selected = null; draw(); };
byId("keys").onclick = () => { help.hidden = !help.hidden; };
window.addEventListener("resize", draw);
window.addEventListener("keydown", (e) => {
  if (e.target === search || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === "/") { e.preventDefault(); search.focus(); }
  else if (e.key === "?") help.hidden = !help.hidden;
});
draw();
`;
