/**
 * A heap dump as a V8 heap snapshot, which Chrome DevTools opens: Memory panel, "Load profile". Sizes, retained sizes,
 * dominators and retainers are then those of the Go heap.
 *
 *     (root)
 *      +- (refs), (global), ...        one node for each kind of other root
 *      +- (data), (bss)                segments of a dump that Go wrote
 *      +- (queued finalizers)
 *      +- (goroutines)
 *      |   +- goroutine 7 [chan receive]
 *      +- (garbage)                    what no root reaches: it was not collected yet
 *
 * A node's class is its shape, `24 bytes, 2 pointers`, with the function that allocated it before it where the memory
 * profile sampled the object; `nameOf` can do better. An edge's number is the offset of the pointer. The numbers behind
 * the @ are addresses (objects do not move), so that DevTools' comparison of two dumps of one process works.
 *
 * (garbage) points to the heads only, to what no other garbage points to and to one object of each cycle that nothing
 * else leads into: a head's retained size is then what will go with it. With an edge to each of them, none would
 * retain another.
 */

import type { HeapDump } from "./reader.ts";

export interface SnapshotOptions {
  /** The class name of object i; undefined for the name by shape. */
  nameOf?: (dump: HeapDump, i: number) => string | undefined;
}

const NODE_TYPES = [
  "hidden",
  "array",
  "string",
  "object",
  "code",
  "closure",
  "regexp",
  "number",
  "native",
  "synthetic",
  "concatenated string",
  "sliced string",
  "symbol",
  "bigint",
  "object shape",
];
const EDGE_TYPES = ["context", "element", "property", "internal", "hidden", "shortcut", "weak"];
const NODE_FIELDS = ["type", "name", "id", "self_size", "edge_count", "trace_node_id", "detachedness"];
const OBJECT = NODE_TYPES.indexOf("object");
const NATIVE = NODE_TYPES.indexOf("native");
const SYNTHETIC = NODE_TYPES.indexOf("synthetic");
const ELEMENT = EDGE_TYPES.indexOf("element");
const PROPERTY = EDGE_TYPES.indexOf("property");

const META = {
  node_fields: NODE_FIELDS,
  node_types: [NODE_TYPES, "string", "number", "number", "number", "number", "number"],
  edge_fields: ["type", "name_or_index", "to_node"],
  edge_types: [EDGE_TYPES, "string_or_number", "node"],
  trace_function_info_fields: ["function_id", "name", "script_name", "script_id", "line", "column"],
  trace_node_fields: ["id", "function_info_index", "count", "size", "children"],
  sample_fields: ["timestamp_us", "last_assigned_id"],
  location_fields: ["object_index", "script_id", "line", "column"],
};

/** Characters of a chunk. */
const CHUNK = 64 << 10;

/** A node that is no object. */
interface Extra {
  name: string;
  type: number;
  /** Indices of objects. */
  to: number[];
  /** Offsets or names of the edges; without them the edges are numbered. */
  labels?: (number | string)[];
  /** Other extras. */
  extras: number[];
}

/** The function that allocated each sampled object, Go's own allocation functions aside. */
function allocators(dump: HeapDump): ReadonlyMap<number, string> {
  const out = new Map<number, string>();
  for (const [address, id] of dump.samples) {
    const func = dump.allocs.get(id)?.frames.find((f) => !f.func.startsWith("runtime."))?.func;
    const i = dump.find(address);
    if (i >= 0 && func !== undefined) out.set(i, func);
  }
  return out;
}

function shape(dump: HeapDump, i: number, func: string | undefined): string {
  const slots = dump.pointerSlots[i];
  const pointers = slots === 0 ? "" : slots === 1 ? ", 1 pointer" : `, ${slots} pointers`;
  const text = `${dump.sizes[i]} bytes${pointers}`;
  return func === undefined ? text : `${func}: ${text}`;
}

/** What reaches into the heap, as nodes; node 0 is the root. */
function rootNodes(dump: HeapDump): Extra[] {
  const nodes: Extra[] = [{ name: "", type: SYNTHETIC, to: [], extras: [] }];
  const add = (name: string, parent: number): number => {
    nodes.push({ name, type: NATIVE, to: [], labels: [], extras: [] });
    nodes[parent].extras.push(nodes.length - 1);
    return nodes.length - 1;
  };
  const point = (from: number, to: number, label: number | string): void => {
    const i = dump.find(to);
    if (i < 0) return;
    nodes[from].to.push(i);
    nodes[from].labels!.push(label);
  };
  const kinds = new Map<string, number>();
  const kind = (name: string): number => {
    let i = kinds.get(name);
    if (i === undefined) {
      i = add(`(${name})`, 0);
      kinds.set(name, i);
    }
    return i;
  };
  for (const r of dump.roots) {
    const k = kind(r.description);
    point(k, r.to, nodes[k].to.length);
  }
  for (const s of dump.segments) {
    const k = kind(s.kind);
    for (const offset of s.pointers) {
      const to = dump.pointerAt(s.contents, offset);
      if (to !== 0) point(k, to, offset);
    }
  }
  for (const object of dump.queuedFinalizers) {
    const k = kind("queued finalizers");
    point(k, object, nodes[k].to.length);
  }
  for (const g of dump.goroutines) {
    const pointed = g.frames.some((f) => f.pointers.length > 0);
    if (!pointed) continue;
    const k = add(`goroutine ${g.id}${g.waitReason === "" ? "" : ` [${g.waitReason}]`}`, kind("goroutines"));
    for (const f of g.frames) {
      for (const offset of f.pointers) {
        const to = dump.pointerAt(f.contents, offset);
        if (to !== 0) point(k, to, `${f.name}+${offset}`);
      }
    }
  }
  return nodes;
}

/** Adds to `seen` what object i reaches. `work` is empty before and after. */
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

/** The heads of what the nodes do not reach, such that everything hangs on a node or on a head. */
function garbageHeads(dump: HeapDump, nodes: readonly Extra[], targets: Int32Array): number[] {
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
  // The second time round, all that is left hangs on cycles.
  for (const cycles of [false, true]) {
    for (let i = 0; i < n; i++) {
      if (seen[i] !== 0 || (pointedTo[i] !== 0 && !cycles)) continue;
      heads.push(i);
      reach(dump, targets, seen, work, i);
    }
  }
  return heads;
}

/** The snapshot's JSON text, piece by piece: it may be longer than a string can be. */
export function* heapSnapshot(dump: HeapDump, options: SnapshotOptions = {}): Generator<string, void> {
  const { nameOf } = options;
  const targets = Int32Array.from(dump.pointers, (to) => dump.find(to));
  const nodes = rootNodes(dump);
  const heads = garbageHeads(dump, nodes, targets);
  if (heads.length > 0) {
    nodes.push({ name: "(garbage)", type: NATIVE, to: heads, extras: [] });
    nodes[0].extras.push(nodes.length - 1);
  }

  const funcs = allocators(dump);
  const strings: string[] = [];
  const indices = new Map<string, number>();
  const string = (text: string): number => {
    let i = indices.get(text);
    if (i === undefined) {
      i = strings.length;
      strings.push(text);
      indices.set(text, i);
    }
    return i;
  };
  string("<dummy>");

  const edgesOf = new Uint32Array(dump.objectCount);
  let edgeCount = 0;
  for (let i = 0; i < dump.objectCount; i++) {
    for (let k = dump.firstPointer[i]; k < dump.firstPointer[i + 1]; k++) if (targets[k] >= 0) edgesOf[i]++;
    edgeCount += edgesOf[i];
  }
  for (const n of nodes) edgeCount += n.to.length + n.extras.length;
  const header = {
    meta: META,
    node_count: nodes.length + dump.objectCount,
    edge_count: edgeCount,
    trace_function_count: 0,
  };
  yield `{"snapshot":${JSON.stringify(header)},\n"nodes":[`;

  // DevTools keeps these numbers in 32 bits. Addresses of a dump that Go wrote have more.
  const { heapStart, heapEnd } = dump.params;
  const base = heapEnd > 2 ** 32 ? heapStart : 0;
  let text = "";
  for (let k = 0; k < nodes.length; k++) {
    const n = nodes[k];
    // Odd, so that it is no object's address.
    const id = 2 * k + 1;
    text += `${k === 0 ? "" : ",\n"}${n.type},${string(n.name)},${id},0,${n.to.length + n.extras.length},0,0`;
  }
  for (let i = 0; i < dump.objectCount; i++) {
    const name = string(nameOf?.(dump, i) ?? shape(dump, i, funcs.get(i)));
    text += `,\n${OBJECT},${name},${(dump.addresses[i] - base) % 2 ** 32},${dump.sizes[i]},${edgesOf[i]},0,0`;
    if (text.length > CHUNK) {
      yield text;
      text = "";
    }
  }
  text += '],\n"edges":[';

  let comma = "";
  const nodeAt = (index: number): number => index * NODE_FIELDS.length;
  const objectAt = (i: number): number => nodeAt(nodes.length + i);
  for (const n of nodes) {
    for (const k of n.extras) {
      text += `${comma}${PROPERTY},${string(nodes[k].name)},${nodeAt(k)}`;
      comma = ",\n";
    }
    for (let k = 0; k < n.to.length; k++) {
      const label = n.labels?.[k] ?? k;
      const edge = typeof label === "string" ? `${PROPERTY},${string(label)}` : `${ELEMENT},${label}`;
      text += `${comma}${edge},${objectAt(n.to[k])}`;
      comma = ",\n";
      if (text.length > CHUNK) {
        yield text;
        text = "";
      }
    }
  }
  for (let i = 0; i < dump.objectCount; i++) {
    for (let k = dump.firstPointer[i]; k < dump.firstPointer[i + 1]; k++) {
      if (targets[k] < 0) continue;
      text += `${comma}${ELEMENT},${dump.pointerOffsets[k]},${objectAt(targets[k])}`;
      comma = ",\n";
    }
    if (text.length > CHUNK) {
      yield text;
      text = "";
    }
  }
  text += '],\n"trace_function_infos":[],\n"trace_tree":[],\n"samples":[],\n"locations":[],\n"strings":[';
  for (let i = 0; i < strings.length; i++) {
    text += `${i === 0 ? "" : ",\n"}${JSON.stringify(strings[i])}`;
    if (text.length > CHUNK) {
      yield text;
      text = "";
    }
  }
  yield `${text}]}\n`;
}
