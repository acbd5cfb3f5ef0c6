/**
 * Profiles as text, as `go tool pprof` prints them: `-top`, `-tree`, `-traces`. Same columns, same units, same order, so
 * that eyes and scripts trained on it work.
 *
 * A report is about *nodes*: all frames of one function name. Of a sample, the innermost node gets the value as *flat*,
 * each node on the stack gets it once as *cum*. Nodes with less than 0.5 % of the total are dropped, and edges with less
 * than 0.1 %.
 */
import { printable } from "../printable.ts";
import {
  baseName,
  frameName,
  type PprofData,
  type PprofLine,
  type PprofLocation,
  profileTotal,
  sampleIndex,
  type ValueType,
} from "./model.ts";

export interface ReportOptions {
  /** The sample type, by name; default the profile's own. */
  sampleType?: string;
  /** How many nodes to show at most, 0 all; default 80 of a tree, else all. */
  nodeCount?: number;
  /** Nodes with a smaller part of the total are dropped; default 0.005. */
  nodeFraction?: number;
  /** Edges with a smaller part of the total are dropped; default 0.001. */
  edgeFraction?: number;
  /** Sort by cum instead of flat. */
  cum?: boolean;
  /** The unit of values; by default one is chosen for the whole report. */
  unit?: string;
  /** What percentages are of; default the profile's own total. Of a filtered profile, give that of the whole one. */
  total?: number;
  /** What the profile was filtered by, to be shown in the head. */
  activeFilters?: readonly string[];
}

const defaultNodeFraction = 0.005;
const defaultEdgeFraction = 0.001;
/** Nodes of a tree that are shown by default. */
const treeNodeCount = 80;

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
const gcu: Unit = { name: "GCU", aliases: ["gcu"], factor: 1 };
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
      { name: "us", aliases: ["us", "microsecond"], factor: 1e3 },
      { name: "ms", aliases: ["ms", "millisecond"], factor: 1e6 },
      seconds,
      { name: "hrs", aliases: ["hour", "hr"], factor: 3600e9 },
    ],
  },
  {
    small: gcu,
    units: [
      { name: "n*GCU", aliases: ["nanogcu"], factor: 1e-9 },
      { name: "u*GCU", aliases: ["microgcu"], factor: 1e-6 },
      { name: "m*GCU", aliases: ["milligcu"], factor: 1e-3 },
      gcu,
      { name: "k*GCU", aliases: ["kilogcu"], factor: 1e3 },
      { name: "M*GCU", aliases: ["megagcu"], factor: 1e6 },
      { name: "G*GCU", aliases: ["gigagcu"], factor: 1e9 },
      { name: "T*GCU", aliases: ["teragcu"], factor: 1e12 },
      { name: "P*GCU", aliases: ["petagcu"], factor: 1e15 },
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
    const auto = to === "auto" || to === "minimum";
    let unit = auto ? undefined : findUnit(type, to);
    if (auto) for (const u of type.units) if (v / u.factor >= 1) unit = u;
    unit ??= type.small;
    return { value: v / unit.factor, unit: unit.name };
  }
  // What is counted has no unit.
  return { value, unit: /^(?:count|sample|unit|minimum|auto)$/.test(to) ? "" : to };
}

/** A value as reports print it: two digits after the point, or none if they are zero. */
export function formatValue(value: number, from: string, to = "auto"): string {
  const { value: v, unit } = scaleValue(value, from, to);
  const text = fixed2(v).replace(/\.00$/, "");
  return text === "0" || text === "-0" ? "0" : text + unit;
}

/** Two digits after the point. Ties go to the even digit, as in C and Go; `toFixed` rounds them up. */
function fixed2(x: number): string {
  const eighths = Math.abs(x) * 8;
  // A tie is an odd number of eighths: .125 and .625 are rounded down to .12 and .62, the others up.
  if (Number.isInteger(eighths) && eighths % 4 === 1)
    return ((Math.sign(x) * (eighths - 0.04)) / 8).toFixed(2);
  return x.toFixed(2);
}

/** A part of the total as a percentage, six characters wide. */
function percentage(value: number, total: number): string {
  const ratio = total === 0 ? 0 : Math.abs(value / total) * 100;
  if (ratio >= 99.95 && ratio <= 100.05) return "  100%";
  return `${ratio >= 1 ? fixed2(ratio).padStart(5) : twoDigits(ratio).padStart(5)}%`;
}

/** Two significant digits without trailing zeros, as C's %.2g. */
function twoDigits(x: number): string {
  if (x === 0) return "0";
  // A tie, whose exact digits end in a single 5, goes to the even digit.
  const tie = /^(\d\.[02468])50*(e.*)$/.exec(x.toExponential(60));
  if (tie !== null) return twoDigits(Number(tie[1] + tie[2]));
  const exponent = Math.floor(Math.log10(Number(x.toExponential(1))));
  if (exponent < -4)
    return x
      .toExponential(1)
      .replace(/\.0e/, "e")
      .replace(/e-(\d)$/, "e-0$1");
  return String(Number(x.toPrecision(2)));
}

interface Node {
  /** Of the name, or of what stands for it. */
  key: string;
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

/** The names of a location's frames, innermost first, those that are inlined into the next marked so. */
function frameRows(l: PprofLocation): string[] {
  if (l.lines.length === 0) return [printable(frameName(l, undefined))];
  const last = l.lines.length - 1;
  return l.lines.map((line, i) => `${printable(frameName(l, line))}${i < last ? " (inline)" : ""}`);
}

/** A frame of a location in the graph; `node` is null where the node isn't kept. */
interface NodeFrame {
  node: Node | null;
  inline: boolean;
}

type NodeOf = (l: PprofLocation, line: PprofLine | undefined) => Node | null;

/** The frames of a location, outermost first. */
function nodesOf(l: PprofLocation, nodeOf: NodeOf): NodeFrame[] {
  if (l.lines.length === 0) return [{ node: nodeOf(l, undefined), inline: false }];
  const last = l.lines.length - 1;
  return l.lines.map((line, i) => ({ node: nodeOf(l, line), inline: i < last })).reverse();
}

/** What tells a frame's node from others: the function's name, or else the binary and where the function begins. */
function nodeKey(l: PprofLocation, line: PprofLine | undefined): string {
  if (line !== undefined && line.function.name !== "") return line.function.name;
  return `\0${line?.function.startLine ?? 0} 0 0 ${l.mapping?.file ?? ""}`;
}

/**
 * The graph of a sample type, of the nodes in `kept` only if it's given, and without edges unless they are asked for. Samples share their
 * locations, so names are looked up once for each, and what a sample has met is marked with its number.
 */
function graphOf(profile: PprofData, index: number, edges: boolean, kept?: ReadonlySet<string>): Node[] {
  const nodes = new Map<string, Node>();
  const nodeOf: NodeOf = (l, line) => {
    const key = nodeKey(l, line);
    if (kept !== undefined && !kept.has(key)) return null;
    let node = nodes.get(key);
    if (node === undefined) {
      const name = frameName(l, line);
      node = { key, name, flat: 0, cum: 0, in: new Map(), out: new Map(), met: 0, lastOut: null };
      nodes.set(key, node);
    }
    return node;
  };
  const frames = new Map<PprofLocation, NodeFrame[]>();
  let number = 0;
  for (const { values, locations } of profile.samples) {
    const value = values[index];
    if (value === 0) continue;
    number++;
    let parent: Node | null = null;
    let residual = false;
    for (let i = locations.length - 1; i >= 0; i--) {
      const l = locations[i];
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
  return [...nodes.values()].filter((n) => n.cum !== 0 || n.flat !== 0);
}

/** A time in Go's form. */
function timeText(nanos: bigint): string {
  const date = new Date(Number(nanos / 1_000_000n));
  // Beyond the years that a Date can hold.
  if (Number.isNaN(date.getTime())) return `${nanos} ns`;
  const [day, time] = date.toISOString().split("T");
  return `${day} ${time.slice(0, 8)} UTC`;
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

function sortNodes(nodes: Node[], cum: boolean): void {
  const key = cum ? "cum" : "flat";
  const other = cum ? "flat" : "cum";
  nodes.sort(
    (a, b) =>
      Math.abs(b[key]) - Math.abs(a[key]) ||
      byText(a.name, b.name) ||
      Math.abs(b[other]) - Math.abs(a[other]) ||
      byText(a.key, b.key),
  );
}

/** Drops the edges with less than `least`. */
function dropEdges(nodes: readonly Node[], least: number): void {
  for (const n of nodes) {
    for (const e of n.out.values()) {
      if (Math.abs(e.weight) >= least) continue;
      n.out.delete(e.to);
      e.to.in.delete(n);
    }
  }
}

class Report {
  readonly nodes: Node[];
  readonly total: number;
  readonly type: ValueType;
  readonly index: number;
  private readonly unit: string;
  private readonly before: number;
  private readonly dropped: number;
  private readonly cutoff: number;

  constructor(
    readonly profile: PprofData,
    private readonly options: ReportOptions,
    edges: boolean,
  ) {
    this.index = sampleIndex(profile, options.sampleType);
    this.type = profile.sampleTypes[this.index] ?? { type: "", unit: "" };
    this.total = options.total ?? profileTotal(profile, this.type.type);
    const { nodeFraction = defaultNodeFraction, edgeFraction = defaultEdgeFraction, nodeCount = 0 } = options;
    const keyed = (nodes: readonly Node[]) => new Set(nodes.map((n) => n.key));
    let nodes = graphOf(profile, this.index, edges);
    const sum = nodes.reduce((n, x) => n + x.flat, 0);
    const least = Math.abs(Math.trunc(sum * nodeFraction));
    this.cutoff = Math.abs(Math.trunc(this.total * nodeFraction));
    const kept = least > 0 ? nodes.filter((n) => Math.abs(n.cum) >= least) : nodes;
    this.dropped = nodes.length - kept.length;
    if (this.dropped > 0) nodes = graphOf(profile, this.index, edges, keyed(kept));
    this.before = nodes.length;
    sortNodes(nodes, options.cum === true);
    if (nodeCount > 0 && nodes.length > nodeCount) {
      nodes = graphOf(profile, this.index, edges, keyed(nodes.slice(0, nodeCount)));
      sortNodes(nodes, options.cum === true);
    }
    if (edges) dropEdges(nodes, Math.abs(Math.trunc(sum * edgeFraction)));
    this.nodes = nodes;
    this.unit = options.unit ?? this.chooseUnit();
  }

  /** One unit for all values: small enough for the smallest, but not for what is a hundredth of the largest. */
  private chooseUnit(): string {
    const { nodes, total } = this;
    if (nodes.length === 0) return "minimum";
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

  /** What the profile is, with values in the report's unit, or in another. */
  profileLines(unit = this.unit): string[] {
    const { profile, total, type } = this;
    const lines: string[] = [];
    const main = profile.mappings[0];
    if (main !== undefined && main.file !== "") lines.push(`File: ${baseName(main.file)}`);
    if (main !== undefined && main.buildId !== "") lines.push(`Build ID: ${main.buildId}`);
    for (const c of profile.comments) if (!c.startsWith("#")) lines.push(c);
    if (type.type !== "") lines.push(`Type: ${type.type}`);
    if (profile.docUrl !== "") lines.push(`Doc: ${profile.docUrl}`);
    if (profile.timeNanos !== 0n) lines.push(`Time: ${timeText(profile.timeNanos)}`);
    if (profile.durationNanos !== 0n) {
      const nanos = Number(profile.durationNanos);
      const ns = scaleValue(total, type.unit, "nanoseconds");
      const part = ns.unit === "ns" && ns.value !== 0 ? `(${percentage(Math.trunc(ns.value), nanos)})` : "";
      const samples = formatValue(total, type.unit, unit);
      lines.push(`Duration: ${formatValue(nanos, "nanoseconds")}, Total samples = ${samples} ${part}`);
    }
    return lines.map(printable);
  }

  /** What the profile is, and what is shown of it. */
  headLines(): string[] {
    const { nodes, total } = this;
    const { activeFilters = [] } = this.options;
    const lines = this.profileLines();
    if (activeFilters.length > 0) lines.push("Active filters:");
    for (const f of activeFilters) lines.push(`   ${printable(f.length > 80 ? `${f.slice(0, 80)}…` : f)}`);
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
    const { total } = this;
    return (
      `${this.format(node.flat).padStart(10)} ${percentage(node.flat, total)} ${percentage(flatSum, total)} ` +
      `${this.format(node.cum).padStart(10)} ${percentage(node.cum, total)}`
    );
  }
}

/** The functions with most, as `go tool pprof -top` lists them. */
export function topText(profile: PprofData, options: ReportOptions = {}): string {
  const report = new Report(profile, options, true);
  const lines = [...report.headLines(), "      flat  flat%   sum%        cum   cum%"];
  let flatSum = 0;
  for (const node of report.nodes) {
    flatSum += node.flat;
    const edges = [...node.in.values()];
    const inline = edges.some((e) => e.inline)
      ? edges.every((e) => e.inline)
        ? " (inline)"
        : " (partial-inline)"
      : "";
    lines.push(`${report.columns(node, flatSum)}  ${printable(node.name)}${inline}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Every function with its callers above and its callees below, as `go tool pprof -tree` prints them. */
export function treeText(profile: PprofData, options: ReportOptions = {}): string {
  const report = new Report(profile, { nodeCount: treeNodeCount, ...options }, true);
  const separator = "----------------------------------------------------------+-------------";
  const lines = [
    ...report.headLines(),
    separator,
    "      flat  flat%   sum%        cum   cum%   calls calls% + context \t \t ",
  ];
  const edgeLine = (e: Edge, name: string, cum: number) =>
    `${report.format(e.weight).padStart(50)} ${percentage(e.weight, cum)} |   ${printable(name)}${e.inline ? " (inline)" : ""}`;
  const sorted = (edges: Iterable<Edge>) =>
    [...edges].sort(
      (a, b) =>
        Math.abs(b.weight) - Math.abs(a.weight) ||
        byText(a.from.name, b.from.name) ||
        byText(a.to.name, b.to.name),
    );
  let flatSum = 0;
  for (const node of report.nodes) {
    flatSum += node.flat;
    lines.push(separator);
    for (const e of sorted(node.in.values())) lines.push(edgeLine(e, e.from.name, node.cum));
    lines.push(`${report.columns(node, flatSum)}                | ${printable(node.name)}`);
    for (const e of sorted(node.out.values())) lines.push(edgeLine(e, e.to.name, node.cum));
  }
  if (report.nodes.length > 0) lines.push(separator);
  return `${lines.join("\n")}\n`;
}

/** Every sample with its labels and stack, as `go tool pprof -traces` prints them. */
export function tracesText(profile: PprofData, options: ReportOptions = {}): string {
  // The graph only finds the unit, and every value has its own here.
  const report = new Report(profile, { ...options, nodeFraction: 0 }, false);
  const separator = "-----------+-------------------------------------------------------";
  const unit = options.unit ?? "minimum";
  const units = labelUnits(profile);
  const lines = report.profileLines(unit);
  // Samples share their locations, and a stack may have a million of them.
  const known = new Map<PprofLocation, string>();
  const frames = (l: PprofLocation): string => {
    let text = known.get(l);
    if (text === undefined) known.set(l, (text = frameRows(l).join(`\n${"".padStart(13)}`)));
    return text;
  };
  for (const sample of profile.samples) {
    if (sample.locations.length === 0) continue;
    lines.push(separator);
    const strings = new Map<string, string[]>();
    const numbers = new Map<string, string[]>();
    for (const l of sample.labels) {
      const [map, text] =
        l.num === undefined
          ? [strings, l.str ?? ""]
          : [numbers, formatValue(l.num, units.get(l.key) ?? l.key)];
      map.set(l.key, [...(map.get(l.key) ?? []), text]);
    }
    for (const map of [strings, numbers]) {
      const rows = [...map].map(([key, values]) => `${key.padStart(10)}:  ${values.join(" ")}`);
      lines.push(...rows.sort(byText).map(printable));
    }
    const value = formatValue(sample.values[report.index], report.type.unit, unit);
    let column = value.padStart(10);
    for (const l of sample.locations) {
      lines.push(`${column}   ${frames(l)}`);
      column = "          ";
    }
  }
  lines.push(separator);
  return `${lines.join("\n")}\n`;
}

/** The unit of each numeric label: the first that a sample gives, else the one that its key means. */
function labelUnits(profile: PprofData): Map<string, string> {
  const units = new Map<string, string>();
  for (const { labels } of profile.samples) {
    for (const { key, num, unit } of labels)
      if (num !== undefined && unit && !units.has(key)) units.set(key, unit);
  }
  for (const key of ["alignment", "request"]) if (!units.has(key)) units.set(key, "bytes");
  return units;
}

/** A function's figures, for programs that want numbers. */
export interface FunctionTotal {
  name: string;
  flat: number;
  cum: number;
}

/** What each function has, of one sample type; largest first. */
export function functionTotals(profile: PprofData, options: ReportOptions = {}): FunctionTotal[] {
  const { nodes } = new Report(profile, { nodeFraction: 0, ...options }, false);
  return nodes.map(({ name, flat, cum }) => ({ name, flat, cum }));
}
