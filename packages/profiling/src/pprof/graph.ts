/**
 * The graph of a profile. A *node* stands for all frames of one function name, an *edge* for the calls from one node to
 * another. The innermost node of a sample gets the sample's value as *flat*. Each node on the stack gets it once as
 * *cum*, and each edge once as its weight.
 */
import { frameName, type PprofData, type PprofLine, type PprofLocation } from "./model.ts";

export interface Node {
  /** See `nodeKey`. */
  key: string;
  name: string;
  flat: number;
  cum: number;
  in: Map<Node, Edge>;
  out: Map<Node, Edge>;
  /** The number of the last sample that has the node. */
  met: number;
  /** The outgoing edge that was used last. */
  lastOut: Edge | null;
}

export interface Edge {
  from: Node;
  to: Node;
  weight: number;
  inline: boolean;
  /** The number of the last sample that has the edge. */
  met: number;
}

/** A frame of a location in the graph; `node` is null if the graph does not keep the node. */
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

/** The identity of a frame's node: the function's name, or else the binary and the function's first line. */
function nodeKey(l: PprofLocation, line: PprofLine | undefined): string {
  if (line !== undefined && line.function.name !== "") return line.function.name;
  return `\0${line?.function.startLine ?? 0} 0 0 ${l.mapping?.file ?? ""}`;
}

/**
 * The graph of a sample type: of all nodes, or only of those in `kept`, with edges if they are asked for. Samples share
 * their locations, so each location is resolved once. A node or edge that a sample has is marked with the sample's
 * number, so that it counts once.
 */
export function graphOf(
  profile: PprofData,
  index: number,
  edges: boolean,
  kept?: ReadonlySet<string>,
): Node[] {
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

/** Counts a sample's value at an edge, once for each sample. */
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

export const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export function sortNodes(nodes: Node[], cum: boolean): void {
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

/** Drops the edges with a weight below `least`. */
export function dropEdges(nodes: readonly Node[], least: number): void {
  for (const n of nodes) {
    for (const e of n.out.values()) {
      if (Math.abs(e.weight) >= least) continue;
      n.out.delete(e.to);
      e.to.in.delete(n);
    }
  }
}
