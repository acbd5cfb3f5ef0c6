/** Style and script of the flame graph's page. The script runs in a browser; it uses nothing but the DOM. */

export const flameStyle = `
:root { color-scheme: light dark; --bg: #fff; --fg: #1b1b1b; --edge: #fff; }
@media (prefers-color-scheme: dark) { :root { --bg: #181818; --fg: #e6e6e6; --edge: #181818; } }
* { box-sizing: border-box; }
body { margin: 0; font: 12px/1.4 ui-sans-serif, system-ui, sans-serif; background: var(--bg); color: var(--fg); }
header { display: flex; gap: 8px; align-items: center; padding: 8px; flex-wrap: wrap; }
h1 { font-size: 14px; margin: 0 auto 0 0; }
#graph { position: relative; margin: 0 8px; overflow: hidden; outline-offset: 2px; }
.frame { position: absolute; height: 18px; padding: 0 3px; overflow: hidden; white-space: nowrap; text-overflow: ellipsis;
  border: 0 solid var(--edge); border-width: 0 1px 1px 0; border-radius: 2px; cursor: pointer; color: #222; }
.frame.faded { opacity: .5; }
.frame.match { background: #d33cf0 !important; color: #fff; }
footer { position: sticky; bottom: 0; padding: 6px 8px; background: var(--bg); font-family: ui-monospace, monospace; }
`;

export const flameScript = `
"use strict";
const { types, first, frames, tree } = JSON.parse(document.getElementById("data").textContent);
const graph = document.getElementById("graph"), info = document.getElementById("info");
const select = document.getElementById("type"), search = document.getElementById("search");
const found = document.getElementById("found");
let type = first, zoom = tree, pattern = null;
types.forEach((t, i) => select.append(new Option(t.type + " (" + t.unit + ")", i, i === first, i === first)));
const parents = new Map();
for (const todo = [tree]; todo.length; ) {
  const node = todo.pop();
  for (const child of node[2]) { parents.set(child, node); todo.push(child); }
}
const units = { bytes: [["B", 1], ["kB", 1024], ["MB", 1048576], ["GB", 1073741824]],
  nanoseconds: [["ns", 1], ["us", 1e3], ["ms", 1e6], ["s", 1e9]] };
function format(v) {
  let unit = ["", 1];
  for (const u of units[types[type].unit] || []) if (Math.abs(v) >= u[1] || u[1] === 1) unit = u;
  return +(v / unit[1]).toFixed(2) + unit[0];
}
const size = (node) => Math.abs(node[1][type]);
function color(name) {
  let h = 0;
  const pkg = name.slice(0, name.indexOf(".", name.lastIndexOf("/") + 1));
  for (const c of pkg) h = (h * 31 + c.charCodeAt(0)) | 0;
  let s = 0;
  for (const c of name) s = (s * 31 + c.charCodeAt(0)) | 0;
  return "hsl(" + (Math.abs(h) % 360) + " " + (55 + Math.abs(s) % 20) + "% " + (68 + Math.abs(s >> 5) % 10) + "%)";
}
function draw() {
  graph.textContent = "";
  const width = graph.clientWidth || 1000, rows = [];
  const path = [];
  for (let n = zoom; n; n = parents.get(n)) path.unshift(n);
  path.forEach((n, depth) => rows.push([n, depth, 0, width, n !== zoom]));
  let depth = path.length, matched = 0;
  for (const todo = [[zoom, path.length - 1, 0, width, false]]; todo.length; ) {
    const [node, d, x, w, inMatch] = todo.pop();
    const hit = pattern !== null && pattern.test(frames[node[0]][0]);
    if (hit && !inMatch) matched += size(node);
    const total = Math.max(size(node), node[2].reduce((sum, c) => sum + size(c), 0));
    let at = x;
    for (const child of node[2]) {
      const cw = total > 0 ? w * size(child) / total : 0;
      if (cw >= 0.5) rows.push([child, d + 1, at, cw, false]);
      if (cw >= 0.5 || pattern !== null) todo.push([child, d + 1, at, cw, inMatch || hit]);
      if (cw >= 0.5) depth = Math.max(depth, d + 2);
      at += cw;
    }
  }
  for (const [node, d, x, w, faded] of rows) {
    const [name] = frames[node[0]];
    const div = document.createElement("div");
    div.className = "frame" + (faded ? " faded" : "") + (pattern !== null && pattern.test(name) ? " match" : "");
    div.style.cssText = "left:" + x + "px;top:" + d * 19 + "px;width:" + w + "px;background:" + color(name);
    if (w > 30) div.textContent = name;
    div.title = describe(node);
    div.onclick = () => { zoom = node; draw(); };
    div.onmouseenter = () => { info.textContent = describe(node); };
    graph.append(div);
  }
  graph.style.height = depth * 19 + "px";
  const all = size(zoom);
  found.textContent = pattern === null ? "" : format(matched) + " (" + (all ? 100 * matched / all : 0).toFixed(2) + "%)";
}
function describe(node) {
  const [name, file] = frames[node[0]], total = size(tree);
  const own = node[1][type] - node[2].reduce((sum, c) => sum + c[1][type], 0);
  return name + "  " + format(node[1][type]) + " (" + (total ? 100 * size(node) / total : 0).toFixed(2) + "%), own " +
    format(own) + (file ? "  " + file : "");
}
select.onchange = () => { type = +select.value; draw(); };
search.oninput = () => {
  try { pattern = search.value === "" ? null : new RegExp(search.value, "i"); search.setCustomValidity(""); }
  catch (e) { search.setCustomValidity(e.message); }
  draw();
};
document.getElementById("reset").onclick = () => { zoom = tree; draw(); };
graph.onkeydown = (e) => { if (e.key === "Escape" || e.key === "ArrowDown") { zoom = parents.get(zoom) || tree; draw(); } };
window.addEventListener("resize", draw);
draw();
`;
