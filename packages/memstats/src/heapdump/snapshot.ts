/**
 * A heap dump as a V8 heap snapshot, which Chrome DevTools opens: Memory panel, "Load profile". DevTools then shows
 * sizes, retained sizes, dominators and retainers of the Go heap.
 *
 *     (root)
 *      +- (refs), (global), ...        one node for each kind of other root
 *      +- (data), (bss)                segments of a dump that Go wrote
 *      +- (queued finalizers)
 *      +- (goroutines)
 *      |   +- goroutine 7 [chan receive]
 *      +- (garbage)                    objects that no root reaches, not yet collected
 *
 * The class of a node is its shape, `24 bytes, 2 pointers`. Where the memory profile sampled the object, the function
 * that allocated it stands before the shape. `nameOf` can give a better name. The number of an edge is the offset of
 * the pointer. The numbers behind the @ are addresses. Objects do not move, so DevTools can compare two dumps of one
 * process.
 *
 * (garbage) points to heads only: to garbage that no other garbage points to, and to one object of each cycle that
 * nothing else leads into. So the retained size of a head is the memory that goes with it. With an edge to every object
 * of garbage, none would retain another.
 */

import type { HeapDump } from "./dump.ts";
import { type ExtraNode, garbageHeads, rootNodes } from "./snapshot-roots.ts";

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

/** The function that allocated each sampled object. Go's own allocation functions do not count. */
function allocators(dump: HeapDump): ReadonlyMap<number, string> {
  const out = new Map<number, string>();
  for (const [address, id] of dump.samples) {
    const func = dump.allocs.get(id)?.frames.find((f) => !f.func.startsWith("runtime."))?.func;
    const i = dump.find(address);
    if (i >= 0 && func !== undefined) out.set(i, func);
  }
  return out;
}

/** The name of object i by its shape. */
function shape(dump: HeapDump, i: number, func: string | undefined): string {
  const slots = dump.pointerSlots[i];
  const pointers = slots === 0 ? "" : slots === 1 ? ", 1 pointer" : `, ${slots} pointers`;
  const text = `${dump.sizes[i]} bytes${pointers}`;
  return func === undefined ? text : `${func}: ${text}`;
}

/** The strings of a snapshot, each once. */
class StringTable {
  readonly list: string[] = [];
  readonly #indices = new Map<string, number>();

  index(text: string): number {
    let i = this.#indices.get(text);
    if (i === undefined) {
      i = this.list.length;
      this.list.push(text);
      this.#indices.set(text, i);
    }
    return i;
  }
}

/** Everything of a dump that becomes nodes and edges. */
interface Graph {
  readonly dump: HeapDump;
  /** The object that each pointer of the dump points into, or -1. */
  readonly targets: Int32Array;
  /** Numbers of edges of each object. */
  readonly edgesOf: Uint32Array;
  readonly extras: readonly ExtraNode[];
  readonly strings: StringTable;
}

function newGraph(dump: HeapDump): Graph {
  const targets = Int32Array.from(dump.pointers, (to) => dump.find(to));
  const extras = rootNodes(dump);
  const heads = garbageHeads(dump, extras, targets);
  if (heads.length > 0) {
    extras.push({ name: "(garbage)", to: heads, extras: [] });
    extras[0].extras.push(extras.length - 1);
  }
  const edgesOf = new Uint32Array(dump.objectCount);
  for (let i = 0; i < dump.objectCount; i++) {
    for (let k = dump.firstPointer[i]; k < dump.firstPointer[i + 1]; k++) if (targets[k] >= 0) edgesOf[i]++;
  }
  const strings = new StringTable();
  strings.index("<dummy>");
  return { dump, targets, edgesOf, extras, strings };
}

/** The snapshot's JSON text, piece by piece: it may be longer than a string can be. */
export function* heapSnapshot(dump: HeapDump, options: SnapshotOptions = {}): Generator<string, void> {
  const graph = newGraph(dump);
  let edgeCount = 0;
  for (const n of graph.edgesOf) edgeCount += n;
  for (const n of graph.extras) edgeCount += n.to.length + n.extras.length;
  const header = {
    meta: META,
    node_count: graph.extras.length + dump.objectCount,
    edge_count: edgeCount,
    trace_function_count: 0,
  };
  yield `{"snapshot":${JSON.stringify(header)},\n"nodes":[`;
  yield* inChunks(nodes(graph, options.nameOf));
  yield '],\n"edges":[';
  yield* inChunks(edges(graph));
  yield '],\n"trace_function_infos":[],\n"trace_tree":[],\n"samples":[],\n"locations":[],\n"strings":[';
  yield* inChunks(graph.strings.list.map((text) => JSON.stringify(text)));
  yield "]}\n";
}

/** The items, separated by commas, in pieces of a little more than CHUNK characters. */
function* inChunks(items: Iterable<string>): Generator<string, void> {
  let text = "";
  let comma = "";
  for (const item of items) {
    text += comma + item;
    comma = ",\n";
    if (text.length > CHUNK) {
      yield text;
      text = "";
    }
  }
  if (text !== "") yield text;
}

/** The rows of the nodes, in the order of NODE_FIELDS: extra nodes, then objects. */
function* nodes(
  { dump, edgesOf, extras, strings }: Graph,
  nameOf: SnapshotOptions["nameOf"],
): Generator<string> {
  const funcs = allocators(dump);
  // DevTools keeps these numbers in 32 bits. Addresses of a dump that Go wrote have more.
  const { heapStart, heapEnd } = dump.params;
  const base = heapEnd > 2 ** 32 ? heapStart : 0;
  for (let k = 0; k < extras.length; k++) {
    const n = extras[k];
    const type = k === 0 ? SYNTHETIC : NATIVE;
    // An odd id is no object's address.
    yield `${type},${strings.index(n.name)},${2 * k + 1},0,${n.to.length + n.extras.length},0,0`;
  }
  for (let i = 0; i < dump.objectCount; i++) {
    const name = strings.index(nameOf?.(dump, i) ?? shape(dump, i, funcs.get(i)));
    yield `${OBJECT},${name},${(dump.addresses[i] - base) % 2 ** 32},${dump.sizes[i]},${edgesOf[i]},0,0`;
  }
}

/** The rows of the edges, in the order of the nodes that they start from. A target is an index into the flat rows. */
function* edges({ dump, targets, extras, strings }: Graph): Generator<string> {
  const nodeAt = (index: number): number => index * NODE_FIELDS.length;
  const objectAt = (i: number): number => nodeAt(extras.length + i);
  for (const n of extras) {
    for (const k of n.extras) yield `${PROPERTY},${strings.index(extras[k].name)},${nodeAt(k)}`;
    for (let k = 0; k < n.to.length; k++) {
      const label = n.labels?.[k] ?? k;
      const edge = typeof label === "string" ? `${PROPERTY},${strings.index(label)}` : `${ELEMENT},${label}`;
      yield `${edge},${objectAt(n.to[k])}`;
    }
  }
  for (let k = 0; k < targets.length; k++) {
    if (targets[k] >= 0) yield `${ELEMENT},${dump.pointerOffsets[k]},${objectAt(targets[k])}`;
  }
}
