/**
 * The nodes of a snapshot that are no objects: the roots of the heap by kind, the goroutines, and the garbage.
 */
import type { HeapDump } from "./dump.ts";

/** A node that is no object. */
export interface ExtraNode {
  name: string;
  /** Indices of the objects that it points to. */
  to: number[];
  /** Offsets or names of the edges to these objects; without labels the edges are numbered. */
  labels?: (number | string)[];
  /** Indices of the extra nodes that it points to. */
  extras: number[];
}

/** Makes the extra nodes of a dump. Node 0 is the root. */
class ExtraNodes {
  readonly nodes: ExtraNode[] = [{ name: "", to: [], extras: [] }];
  readonly #dump: HeapDump;
  readonly #kinds = new Map<string, number>();

  constructor(dump: HeapDump) {
    this.#dump = dump;
  }

  /** A new node that the node `parent` points to. Returns its index. */
  add(name: string, parent: number): number {
    this.nodes.push({ name, to: [], labels: [], extras: [] });
    this.nodes[parent].extras.push(this.nodes.length - 1);
    return this.nodes.length - 1;
  }

  /** The node of a kind of root, which the root node points to. */
  kind(name: string): number {
    let i = this.#kinds.get(name);
    if (i === undefined) {
      i = this.add(`(${name})`, 0);
      this.#kinds.set(name, i);
    }
    return i;
  }

  /** An edge from a node to the object at an address, if there is one. */
  point(from: number, to: number, label?: number | string): void {
    const i = this.#dump.find(to);
    if (i < 0) return;
    const node = this.nodes[from];
    node.labels?.push(label ?? node.to.length);
    node.to.push(i);
  }

  /** Edges for the pointers in some contents. `label` names the edge of an offset. */
  pointAll(
    from: number,
    contents: Uint8Array,
    offsets: readonly number[],
    label: (offset: number) => number | string,
  ): void {
    for (const offset of offsets) {
      const to = this.#dump.pointerAt(contents, offset);
      if (to !== 0) this.point(from, to, label(offset));
    }
  }
}

/** The nodes that point into the heap; node 0 is the root. */
export function rootNodes(dump: HeapDump): ExtraNode[] {
  const out = new ExtraNodes(dump);
  for (const r of dump.roots) out.point(out.kind(r.description), r.to);
  for (const s of dump.segments) out.pointAll(out.kind(s.kind), s.contents, s.pointers, (offset) => offset);
  for (const object of dump.queuedFinalizers) out.point(out.kind("queued finalizers"), object);
  for (const g of dump.goroutines) {
    if (!g.frames.some((f) => f.pointers.length > 0)) continue;
    const name = `goroutine ${g.id}${g.waitReason === "" ? "" : ` [${g.waitReason}]`}`;
    const k = out.add(name, out.kind("goroutines"));
    for (const f of g.frames) {
      out.pointAll(k, f.contents, f.pointers, (offset) => `${f.name}+${offset}`);
    }
  }
  return out.nodes;
}

/** Adds the objects that object i reaches to `seen`. `work` is empty before and after. */
function reach(dump: HeapDump, targets: Int32Array, seen: Uint8Array, work: number[], i: number): void {
  const visit = (to: number): void => {
    if (to < 0 || seen[to] !== 0) return;
    seen[to] = 1;
    work.push(to);
  };
  visit(i);
  for (let from = work.pop(); from !== undefined; from = work.pop()) {
    for (let k = dump.firstPointer[from]; k < dump.firstPointer[from + 1]; k++) visit(targets[k]);
  }
}

/**
 * The heads of the objects that no node reaches. Every object is then reachable from a node or from a head.
 */
export function garbageHeads(dump: HeapDump, nodes: readonly ExtraNode[], targets: Int32Array): number[] {
  const n = dump.objectCount;
  const seen = new Uint8Array(n);
  const work: number[] = [];
  for (const node of nodes) for (const i of node.to) reach(dump, targets, seen, work, i);
  const pointedTo = new Uint8Array(n);
  for (let i = 0; i < n; i++) {
    if (seen[i] !== 0) continue;
    for (let k = dump.firstPointer[i]; k < dump.firstPointer[i + 1]; k++) {
      if (targets[k] >= 0 && targets[k] !== i) pointedTo[targets[k]] = 1;
    }
  }
  const heads: number[] = [];
  // In the second round each object that is left lies on a cycle or behind one.
  for (const cycles of [false, true]) {
    for (let i = 0; i < n; i++) {
      if (seen[i] !== 0 || (pointedTo[i] !== 0 && !cycles)) continue;
      heads.push(i);
      reach(dump, targets, seen, work, i);
    }
  }
  return heads;
}
