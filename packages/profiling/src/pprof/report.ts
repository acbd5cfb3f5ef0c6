/**
 * Profiles as text, as `go tool pprof` prints them: `-top`, `-tree`, `-traces`. Same columns, same units, same order, so
 * that eyes and scripts trained on it work.
 *
 * A report is about *nodes*: all frames of one function name. Of a sample, the innermost node gets the value as *flat*,
 * each node on the stack gets it once as *cum*. Nodes with less than 0.5 % of the total are dropped, and edges with less
 * than 0.1 %.
 */
import {
  frameName,
  type PprofData,
  type PprofLocation,
  type PprofSample,
  sampleIndex,
  type ValueType,
} from "./model.ts";

export interface ReportOptions {
  /** The sample type, by name; default the profile's own. */
  sampleType?: string;
  /** How many nodes to show at most; default all. */
  nodeCount?: number;
  /** Nodes with a smaller part of the total are dropped; default 0.005. */
  nodeFraction?: number;
  /** Edges with a smaller part of the total are dropped; default 0.001. */
  edgeFraction?: number;
  /** Sort by cum instead of flat. */
  cum?: boolean;
  /** The unit of values: "auto" chooses one for the whole report. */
  unit?: string;
}

const defaultNodeFraction = 0.005;
const defaultEdgeFraction = 0.001;

interface Unit {
  name: string;
  aliases: readonly string[];
  factor: number;
}

/** Units that convert into each other, and the one that a value too small for all of them is shown in. */
interface UnitType {
  units: readonly Unit[];
  small: Unit;
}

const bytes: Unit = { name: "B", aliases: ["b", "byte"], factor: 1 };
const seconds: Unit = { name: "s", aliases: ["s", "sec", "second"], factor: 1e9 };
const unitTypes: readonly UnitType[] = [
  {
    small: bytes,
    units: [
      bytes,
      { name: "kB", aliases: ["kb", "kbyte", "kilobyte"], factor: 2 ** 10 },
      { name: "MB", aliases: ["mb", "mbyte", "megabyte"], factor: 2 ** 20 },
      { name: "GB", aliases: ["gb", "gbyte", "gigabyte"], factor: 2 ** 30 },
      { name: "TB", aliases: ["tb", "tbyte", "terabyte"], factor: 2 ** 40 },
      { name: "PB", aliases: ["pb", "pbyte", "petabyte"], factor: 2 ** 50 },
    ],
  },
  {
    small: seconds,
    units: [
      { name: "ns", aliases: ["ns", "nanosecond"], factor: 1 },
      { name: "us", aliases: ["μs", "us", "microsecond"], factor: 1e3 },
      { name: "ms", aliases: ["ms", "millisecond"], factor: 1e6 },
      seconds,
      { name: "hrs", aliases: ["hour", "hr"], factor: 3600e9 },
    ],
  },
];

function findUnit(type: UnitType, name: string): Unit | undefined {
  let lower = name.toLowerCase();
  if (lower.length > 2 && lower.endsWith("s")) lower = lower.slice(0, -1);
  return type.units.find((u) => u.aliases.includes(lower));
}

/** A value in another unit; "auto" chooses the largest that leaves at least 1. */
export function scaleValue(value: number, from: string, to: string): { value: number; unit: string } {
  if (value < 0) {
    const { value: v, unit } = scaleValue(-value, from, to);
    return { value: -v, unit };
  }
  for (const type of unitTypes) {
    const fromUnit = findUnit(type, from);
    if (fromUnit === undefined) continue;
    const v = value * fromUnit.factor;
    let unit = to === "auto" ? undefined : findUnit(type, to);
    if (to === "auto") for (const u of type.units) if (v / u.factor >= 1) unit = u;
    unit ??= type.small;
    return { value: v / unit.factor, unit: unit.name };
  }
  // What is counted has no unit.
  return { value, unit: /^(?:count|sample|unit|auto)$/.test(to) ? "" : to };
}

/** A value as reports print it: two digits after the point, or none if they are zero. */
export function formatValue(value: number, from: string, to = "auto"): string {
  const { value: v, unit } = scaleValue(value, from, to);
  const text = v.toFixed(2).replace(/\.00$/, "");
  return text === "0" || text === "-0" ? "0" : text + unit;
}

/** A part of the total as a percentage, six characters wide. */
function percentage(value: number, total: number): string {
  const ratio = total === 0 ? 0 : Math.abs(value / total) * 100;
  if (ratio >= 99.95 && ratio <= 100.05) return "  100%";
  return `${ratio >= 1 ? ratio.toFixed(2).padStart(5) : twoDigits(ratio).padStart(5)}%`;
}

/** Two significant digits without trailing zeros, as C's %.2g. */
function twoDigits(x: number): string {
  if (x === 0) return "0";
  const exponent = Math.floor(Math.log10(Number(x.toExponential(1))));
  if (exponent < -4)
    return x
      .toExponential(1)
      .replace(/\.0e/, "e")
      .replace(/e-(\d)$/, "e-0$1");
  return String(Number(x.toPrecision(2)));
}

interface Node {
  name: string;
  flat: number;
  cum: number;
  in: Map<Node, Edge>;
  out: Map<Node, Edge>;
  /** The last sample that had it. */
  met: number;
  /** The edge out of it that was met last. */
  lastOut: Edge | null;
}

interface Edge {
  from: Node;
  to: Node;
  weight: number;
  inline: boolean;
  /** The last sample that had it. */
  met: number;
}

interface Graph {
  nodes: Node[];
  total: number;
}

/** The frames of a sample, innermost first; `inline`: inlined into the next. */
function framesOf(sample: PprofSample): { name: string; inline: boolean }[] {
  const frames: { name: string; inline: boolean }[] = [];
  for (const l of sample.locations) {
    if (l.lines.length === 0) frames.push({ name: frameName(l, undefined), inline: false });
    for (const [i, line] of l.lines.entries()) {
      frames.push({ name: frameName(l, line), inline: i < l.lines.length - 1 });
    }
  }
  return frames;
}

/** A frame of a location in the graph; `node` is null where the node isn't kept. */
interface NodeFrame {
  node: Node | null;
  inline: boolean;
}

/** The frames of a location, outermost first. */
function nodesOf(l: PprofLocation, nodeOf: (name: string) => Node | null): NodeFrame[] {
  if (l.lines.length === 0) return [{ node: nodeOf(frameName(l, undefined)), inline: false }];
  const last = l.lines.length - 1;
  return l.lines.map((line, i) => ({ node: nodeOf(frameName(l, line)), inline: i < last })).reverse();
}

/**
 * The graph of a sample type, of the nodes in `kept` only if it's given, and without edges unless they are asked for. Samples share their
 * locations, so names are looked up once for each, and what a sample has met is marked with its number.
 */
function graphOf(profile: PprofData, index: number, edges: boolean, kept?: ReadonlySet<string>): Graph {
  const nodes = new Map<string, Node>();
  const nodeOf = (name: string): Node | null => {
    if (kept !== undefined && !kept.has(name)) return null;
    let node = nodes.get(name);
    if (node === undefined) {
      node = { name, flat: 0, cum: 0, in: new Map(), out: new Map(), met: 0, lastOut: null };
      nodes.set(name, node);
    }
    return node;
  };
  const frames = new Map<PprofLocation, NodeFrame[]>();
  let total = 0;
  let number = 0;
  for (const { values, locations } of profile.samples) {
    const value = values[index]!;
    total += Math.abs(value);
    if (value === 0) continue;
    number++;
    let parent: Node | null = null;
    let residual = false;
    for (let i = locations.length - 1; i >= 0; i--) {
      const l = locations[i]!;
      let list = frames.get(l);
      if (list === undefined) frames.set(l, (list = nodesOf(l, nodeOf)));
      for (const { node, inline } of list) {
        residual = node === null;
        if (node === null) continue;
        if (node.met !== number) {
          node.met = number;
          node.cum += value;
        }
        if (edges && parent !== null && parent !== node) addEdge(parent, node, value, inline, number);
        parent = node;
      }
    }
    if (parent !== null && !residual) parent.flat += value;
  }
  return { nodes: [...nodes.values()], total };
}

/** Counts a sample's value at an edge, once. */
function addEdge(from: Node, to: Node, value: number, inline: boolean, number: number): void {
  let edge = from.lastOut?.to === to ? from.lastOut : from.out.get(to);
  if (edge === undefined) {
    edge = { from, to, weight: 0, inline: true, met: 0 };
    from.out.set(to, edge);
    to.in.set(from, edge);
  }
  from.lastOut = edge;
  if (edge.met === number) return;
  edge.met = number;
  edge.weight += value;
  edge.inline &&= inline;
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

class Report {
  readonly graph: Graph;
  readonly type: ValueType;
  readonly index: number;
  private readonly unit: string;
  private readonly before: number;
  private readonly dropped: number;
  private readonly cutoff: number;

  constructor(
    readonly profile: PprofData,
    options: ReportOptions,
    edges: boolean,
  ) {
    this.index = sampleIndex(profile, options.sampleType);
    this.type = profile.sampleTypes[this.index] ?? { type: "", unit: "" };
    let graph = graphOf(profile, this.index, edges);
    const { total } = graph;
    const sum = graph.nodes.reduce((n, x) => n + x.flat, 0);
    this.cutoff = Math.abs(Math.trunc(sum * (options.nodeFraction ?? defaultNodeFraction)));
    let kept = graph.nodes;
    if (this.cutoff > 0) kept = kept.filter((n) => Math.abs(n.cum) >= this.cutoff);
    this.dropped = graph.nodes.length - kept.length;
    if (this.dropped > 0) graph = graphOf(profile, this.index, edges, new Set(kept.map((n) => n.name)));
    this.before = graph.nodes.length;
    const key = options.cum === true ? "cum" : "flat";
    const other = key === "cum" ? "flat" : "cum";
    const sort = () =>
      graph.nodes.sort(
        (a, b) =>
          Math.abs(b[key]) - Math.abs(a[key]) ||
          byText(a.name, b.name) ||
          Math.abs(b[other]) - Math.abs(a[other]),
      );
    sort();
    const { nodeCount = 0 } = options;
    if (nodeCount > 0 && graph.nodes.length > nodeCount) {
      graph = graphOf(
        profile,
        this.index,
        edges,
        new Set(graph.nodes.slice(0, nodeCount).map((n) => n.name)),
      );
      sort();
    }
    if (edges) {
      const edgeCutoff = Math.abs(Math.trunc(sum * (options.edgeFraction ?? defaultEdgeFraction)));
      for (const n of graph.nodes) {
        for (const e of n.out.values()) {
          if (Math.abs(e.weight) >= edgeCutoff) continue;
          n.out.delete(e.to);
          e.to.in.delete(n);
        }
      }
    }
    this.graph = { nodes: graph.nodes, total };
    this.unit = options.unit ?? this.chooseUnit();
  }

  /** One unit for all values: small enough for the smallest, but not for what is a hundredth of the largest. */
  private chooseUnit(): string {
    const { nodes, total } = this.graph;
    let min = 0;
    for (const n of nodes) {
      const v = Math.abs(n.flat) || Math.abs(n.cum);
      if (v > 0 && (min === 0 || v < min)) min = v;
    }
    min ||= total;
    const unitOf = (v: number) => scaleValue(v, this.type.unit, "auto").unit;
    const small = unitOf(min);
    const unit = small !== unitOf(total) && min * 100 < total ? unitOf(100 * min) : small;
    return unit || this.type.unit;
  }

  format(value: number): string {
    return formatValue(value, this.type.unit, this.unit);
  }

  /** What the profile is. */
  profileLines(): string[] {
    const { profile } = this;
    const lines: string[] = [];
    const main = profile.mappings[0];
    if (main !== undefined && main.file !== "") {
      lines.push(
        `File: ${main.file.slice(Math.max(main.file.lastIndexOf("/"), main.file.lastIndexOf("\\")) + 1)}`,
      );
    }
    if (main !== undefined && main.buildId !== "") lines.push(`Build ID: ${main.buildId}`);
    for (const c of profile.comments) if (!c.startsWith("#")) lines.push(c);
    if (this.type.type !== "") lines.push(`Type: ${this.type.type}`);
    if (profile.docUrl !== "") lines.push(`Doc: ${profile.docUrl}`);
    if (profile.timeNanos !== 0n) {
      const time = new Date(Number(profile.timeNanos / 1_000_000n)).toISOString();
      lines.push(`Time: ${time.slice(0, 10)} ${time.slice(11, 19)} UTC`);
    }
    if (profile.durationNanos !== 0n) {
      const { total } = this.graph;
      const duration = formatValue(Number(profile.durationNanos), "nanoseconds");
      const ns = scaleValue(total, this.type.unit, "nanoseconds");
      const part =
        ns.unit === "ns" && ns.value !== 0 ? `(${percentage(ns.value, Number(profile.durationNanos))})` : "";
      lines.push(`Duration: ${duration}, Total samples = ${this.format(total)} ${part}`);
    }
    return lines;
  }

  /** What the profile is, and what is shown of it. */
  headLines(): string[] {
    const { nodes, total } = this.graph;
    const lines = this.profileLines();
    const shown = nodes.reduce((sum, n) => sum + n.flat, 0);
    lines.push(
      `Showing nodes accounting for ${this.format(shown)}, ${percentage(shown, total).trim()} of ${this.format(total)} total`,
    );
    if (total !== 0) {
      if (this.dropped > 0) {
        lines.push(
          `Dropped ${this.dropped} node${this.dropped > 1 ? "s" : ""} (cum <= ${this.format(this.cutoff)})`,
        );
      }
      if (nodes.length > 0 && nodes.length < this.before) {
        lines.push(`Showing top ${nodes.length} nodes out of ${this.before}`);
      }
    }
    return lines;
  }

  /** flat, flat%, sum%, cum, cum% */
  columns(node: Node, flatSum: number): string {
    const { total } = this.graph;
    return (
      `${this.format(node.flat).padStart(10)} ${percentage(node.flat, total)} ${percentage(flatSum, total)} ` +
      `${this.format(node.cum).padStart(10)} ${percentage(node.cum, total)}`
    );
  }
}

/** The functions with most, as `go tool pprof -top` lists them. */
export function topText(profile: PprofData, options: ReportOptions = {}): string {
  const report = new Report(profile, options, false);
  const lines = [...report.headLines(), "      flat  flat%   sum%        cum   cum%"];
  let flatSum = 0;
  for (const node of report.graph.nodes) {
    flatSum += node.flat;
    const edges = [...node.in.values()];
    const inline = edges.some((e) => e.inline)
      ? edges.every((e) => e.inline)
        ? " (inline)"
        : " (partial-inline)"
      : "";
    lines.push(`${report.columns(node, flatSum)}  ${node.name}${inline}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Every function with its callers above and its callees below, as `go tool pprof -tree` prints them. */
export function treeText(profile: PprofData, options: ReportOptions = {}): string {
  const report = new Report(profile, options, true);
  const separator = "----------------------------------------------------------+-------------";
  const lines = [
    ...report.headLines(),
    separator,
    "      flat  flat%   sum%        cum   cum%   calls calls% + context \t \t ",
  ];
  const edgeLine = (e: Edge, name: string, cum: number) =>
    `${report.format(e.weight).padStart(50)} ${percentage(e.weight, cum)} |   ${name}${e.inline ? " (inline)" : ""}`;
  const sorted = (edges: Iterable<Edge>) =>
    [...edges].sort(
      (a, b) =>
        Math.abs(b.weight) - Math.abs(a.weight) ||
        byText(a.from.name, b.from.name) ||
        byText(a.to.name, b.to.name),
    );
  let flatSum = 0;
  for (const node of report.graph.nodes) {
    flatSum += node.flat;
    lines.push(separator);
    for (const e of sorted(node.in.values())) lines.push(edgeLine(e, e.from.name, node.cum));
    lines.push(`${report.columns(node, flatSum)}                | ${node.name}`);
    for (const e of sorted(node.out.values())) lines.push(edgeLine(e, e.to.name, node.cum));
  }
  if (report.graph.nodes.length > 0) lines.push(separator);
  return `${lines.join("\n")}\n`;
}

/** Every sample with its labels and stack, as `go tool pprof -traces` prints them. */
export function tracesText(profile: PprofData, options: ReportOptions = {}): string {
  const report = new Report(profile, { ...options, nodeFraction: 0 }, false);
  const separator = "-----------+-------------------------------------------------------";
  const unit = options.unit ?? "auto";
  const lines = report.profileLines();
  for (const sample of profile.samples) {
    const frames = framesOf(sample);
    if (frames.length === 0) continue;
    lines.push(separator);
    const strings = new Map<string, string[]>();
    const numbers = new Map<string, string[]>();
    for (const l of sample.labels) {
      const [map, text] =
        l.num === undefined ? [strings, l.str ?? ""] : [numbers, formatValue(l.num, l.unit || l.key)];
      map.set(l.key, [...(map.get(l.key) ?? []), text]);
    }
    for (const map of [strings, numbers]) {
      lines.push(...[...map].map(([key, values]) => `${key.padStart(10)}:  ${values.join(" ")}`).sort());
    }
    const value = formatValue(sample.values[report.index]!, report.type.unit, unit);
    for (const [i, f] of frames.entries()) {
      lines.push(`${(i === 0 ? value : "").padStart(10)}   ${f.name}${f.inline ? " (inline)" : ""}`);
    }
  }
  lines.push(separator);
  return `${lines.join("\n")}\n`;
}

/** A function's figures, for programs that want numbers. */
export interface FunctionTotal {
  name: string;
  flat: number;
  cum: number;
}

/** What each function has, of one sample type; largest first. */
export function functionTotals(profile: PprofData, options: ReportOptions = {}): FunctionTotal[] {
  const { graph } = new Report(profile, { nodeFraction: 0, ...options }, false);
  return graph.nodes.map(({ name, flat, cum }) => ({ name, flat, cum }));
}
