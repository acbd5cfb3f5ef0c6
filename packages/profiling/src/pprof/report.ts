/**
 * Profiles as text, as `go tool pprof` prints them: `-top`, `-tree`, `-traces`. Columns, units and order are the
 * same, so that users and scripts can read both.
 *
 * A report shows the nodes of a graph (graph.ts). Nodes with less than 0.5 % of the total are dropped, and edges with
 * less than 0.1 %.
 */
import { printable } from "../printable.ts";
import { byText, dropEdges, type Edge, graphOf, type Node, sortNodes } from "./graph.ts";
import {
  baseName,
  frameName,
  type PprofData,
  type PprofLocation,
  type PprofSample,
  profileTotal,
  sampleIndex,
  type ValueType,
} from "./model.ts";
import { formatValue, percentage, scaleValue } from "./units.ts";

export { formatValue, scaleValue } from "./units.ts";

export interface ReportOptions {
  /** The sample type, by name; default the profile's own. */
  sampleType?: string;
  /** How many nodes to show at most, 0 all. Default: 80 for a tree, else all. */
  nodeCount?: number;
  /** Nodes with a smaller part of the total are dropped; default 0.005. */
  nodeFraction?: number;
  /** Edges with a smaller part of the total are dropped; default 0.001. */
  edgeFraction?: number;
  /** Sort by cum instead of flat. */
  cum?: boolean;
  /** The unit of values. By default the report chooses one unit for all values. */
  unit?: string;
  /**
   * The value of 100 %; default the profile's own total. For a filtered profile, give the total of the whole profile.
   */
  total?: number;
  /** The filters of the profile, for the report's head. */
  activeFilters?: readonly string[];
}

const DEFAULT_NODE_FRACTION = 0.005;
const DEFAULT_EDGE_FRACTION = 0.001;
/** Nodes that a tree shows by default. */
const TREE_NODE_COUNT = 80;

/** A time in Go's form. */
function timeText(nanos: bigint): string {
  const date = new Date(Number(nanos / 1_000_000n));
  // The time is beyond the years of a Date.
  if (Number.isNaN(date.getTime())) return `${nanos} ns`;
  const [day, time] = date.toISOString().split("T");
  return `${day} ${time.slice(0, 8)} UTC`;
}

/** The names of a location's frames, innermost first. Frames that are inlined into the next are marked so. */
function frameRows(l: PprofLocation): string[] {
  if (l.lines.length === 0) return [printable(frameName(l, undefined))];
  const last = l.lines.length - 1;
  return l.lines.map((line, i) => `${printable(frameName(l, line))}${i < last ? " (inline)" : ""}`);
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
    const {
      nodeFraction = DEFAULT_NODE_FRACTION,
      edgeFraction = DEFAULT_EDGE_FRACTION,
      nodeCount = 0,
    } = options;
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

  /**
   * One unit for all values: that of the smallest value. If the smallest is less than a hundredth of the total, the
   * unit of a hundred times the smallest.
   */
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

  /** The description of the profile, with values in the report's unit, or in another. */
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

  /** The description of the profile, and how much of it the report shows. */
  headLines(): string[] {
    const { nodes, total } = this;
    const { activeFilters = [] } = this.options;
    const lines = this.profileLines();
    if (activeFilters.length > 0) lines.push("Active filters:");
    for (const f of activeFilters) lines.push(`   ${printable(f.length > 80 ? `${f.slice(0, 80)}…` : f)}`);
    const shown = nodes.reduce((sum, n) => sum + n.flat, 0);
    const part = percentage(shown, total).trim();
    lines.push(`Showing nodes accounting for ${this.format(shown)}, ${part} of ${this.format(total)} total`);
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

/** The functions with the largest values, as `go tool pprof -top` lists them. */
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
  const report = new Report(profile, { nodeCount: TREE_NODE_COUNT, ...options }, true);
  const separator = "----------------------------------------------------------+-------------";
  const lines = [
    ...report.headLines(),
    separator,
    "      flat  flat%   sum%        cum   cum%   calls calls% + context \t \t ",
  ];
  const edgeLine = (e: Edge, name: string, cum: number) => {
    const weight = report.format(e.weight).padStart(50);
    return `${weight} ${percentage(e.weight, cum)} |   ${printable(name)}${e.inline ? " (inline)" : ""}`;
  };
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
  // The graph is not shown, and its unit not used: each value of a trace has its own unit.
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
    lines.push(...labelRows(sample, units));
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

/** The labels of a sample, one row for each key: first the strings, then the numbers. */
function labelRows({ labels }: PprofSample, units: ReadonlyMap<string, string>): string[] {
  const strings = new Map<string, string[]>();
  const numbers = new Map<string, string[]>();
  for (const l of labels) {
    const [map, text] =
      l.num === undefined ? [strings, l.str ?? ""] : [numbers, formatValue(l.num, units.get(l.key) ?? l.key)];
    map.set(l.key, [...(map.get(l.key) ?? []), text]);
  }
  const rows = (map: ReadonlyMap<string, readonly string[]>) =>
    [...map].map(([key, values]) => `${key.padStart(10)}:  ${values.join(" ")}`).sort(byText);
  return [...rows(strings), ...rows(numbers)].map(printable);
}

/** The unit of each numeric label: the first that a sample gives, else the one that the key implies. */
function labelUnits(profile: PprofData): Map<string, string> {
  const units = new Map<string, string>();
  for (const { labels } of profile.samples) {
    for (const { key, num, unit } of labels)
      if (num !== undefined && unit && !units.has(key)) units.set(key, unit);
  }
  for (const key of ["alignment", "request"]) if (!units.has(key)) units.set(key, "bytes");
  return units;
}

/** A function's values as numbers. */
export interface FunctionTotal {
  name: string;
  flat: number;
  cum: number;
}

/** The values of each function for one sample type, largest first. */
export function functionTotals(profile: PprofData, options: ReportOptions = {}): FunctionTotal[] {
  const { nodes } = new Report(profile, { nodeFraction: 0, ...options }, false);
  return nodes.map(({ name, flat, cum }) => ({ name, flat, cum }));
}
