/**
 * The parts of a type as a list, and the text that describes it: type-identity.ts has the essay.
 *
 *     Node = struct("Node", { value: int, next: pointer(Node) })
 *     [["struct","Node",["value",1],["next",2]],"int",["pointer",0]]
 *
 * The text is JSON: a list of parts, of which the first is the type itself. A part names its own parts by their place
 * in the list. Types that Go calls identical have one text, however the program has built them. Two steps ensure this:
 *
 *   1. Parts that unfold to the same tree are one part. `classesOf` finds them by partition refinement: at first all
 *      parts with one label are in one class; a class splits while its members refer to different classes.
 *   2. Parts stand in the order of a breadth-first walk from the type.
 *
 * Sources: Hopcroft, "An n log n algorithm for minimizing states in a finite automaton" (1971). We use Moore's simpler
 * algorithm, because types have few parts.
 */
import { show } from "@gort/base";
import { OpaqueType } from "./opaque.ts";
import {
  ArrayType,
  ChanType,
  type Kind,
  PointerType,
  SliceType,
  StructType,
  scalarOf,
  type Type,
} from "./type.ts";

/** One part of a type. */
export interface TypePart {
  readonly kind: Kind;
  /** The name of a struct or an opaque type. */
  readonly name: string;
  /** The names of a struct's fields. */
  readonly fields: readonly string[];
  /** The length of an array. */
  readonly length: number;
  /** The places of its own parts: the element, or the fields' types. */
  readonly parts: readonly number[];
}

/** A type: the first part and all that it reaches. */
export type TypeGraph = readonly TypePart[];

/** More parts than any program declares. A thunk that makes another type at each call would never end. */
const MAX_PARTS = 10_000;

/** A type and all types that it reaches, and the same as a graph. The two lists have one order. */
export interface Reach {
  readonly types: readonly Type[];
  readonly graph: TypeGraph;
}

/** All that a type reaches. It calls getters and thunks that nothing has called yet: they are code of the program. */
export function reachOf(type: Type): Reach {
  const graph: TypePart[] = [];
  const types: Type[] = [];
  const places = new Map<Type, number>();
  const placeOf = (part: Type): number => {
    let place = places.get(part);
    if (place === undefined) {
      place = types.length;
      if (place === MAX_PARTS)
        throw new TypeError(`types: ${type.name} has more than ${MAX_PARTS} types as parts`);
      types.push(part);
      places.set(part, place);
    }
    return place;
  };
  placeOf(type);
  for (let i = 0; i < types.length; i++) graph.push(partOf(types[i], placeOf));
  return { types, graph };
}

function partOf(type: Type, placeOf: (type: Type) => number): TypePart {
  const { kind } = type;
  if (type instanceof StructType) {
    const { name, fields } = type;
    return {
      kind,
      name,
      fields: fields.map((f) => f.name),
      length: 0,
      parts: fields.map((f) => placeOf(f.type)),
    };
  }
  if (type instanceof OpaqueType) {
    const { family: name, elem } = type;
    return { kind, name, fields: [], length: 0, parts: elem === null ? [] : [placeOf(elem)] };
  }
  const length = type instanceof ArrayType ? type.length : 0;
  const reference = type instanceof PointerType || type instanceof ChanType || type instanceof SliceType;
  const parts = reference || type instanceof ArrayType ? [placeOf(type.elem)] : [];
  return { kind, name: "", fields: [], length, parts };
}

/** Numbers equal texts alike, from 0 on in the order of their first place. */
class Numbers {
  readonly #known = new Map<string, number>();

  get count(): number {
    return this.#known.size;
  }

  of(text: string): number {
    let n = this.#known.get(text);
    if (n === undefined) this.#known.set(text, (n = this.count));
    return n;
  }
}

/** The class of each part. Two parts are of one class if they unfold to the same tree. */
export function classesOf(graph: TypeGraph): readonly number[] {
  let numbers = new Numbers();
  let classes = graph.map((part) => numbers.of(textOf(part, () => 0)));
  for (;;) {
    const finer = new Numbers();
    const split = graph.map((part, i) =>
      finer.of(`${classes[i]}:${part.parts.map((k) => classes[k]).join()}`),
    );
    if (finer.count === numbers.count) return classes;
    numbers = finer;
    classes = split;
  }
}

/** The text that describes part `root` of a graph, and all that this part reaches. */
export function describePart(graph: TypeGraph, classes: readonly number[], root: number): string {
  const places = new Map([[classes[root], 0]]);
  const order = [root];
  const placeOf = (k: number): number => {
    let place = places.get(classes[k]);
    if (place === undefined) {
      place = order.length;
      places.set(classes[k], place);
      order.push(k);
    }
    return place;
  };
  let text = "";
  for (let i = 0; i < order.length; i++) {
    text += `${i === 0 ? "[" : ","}${textOf(graph[order[i]], placeOf)}`;
  }
  return `${text}]`;
}

/** One part as JSON. JSON.stringify gets only strings: it would call `toJSON` of objects. */
function textOf(part: TypePart, placeOf: (k: number) => number): string {
  const kind = JSON.stringify(part.kind);
  if (part.kind === "struct") {
    const fields = part.fields.map((name, i) => `,[${JSON.stringify(name)},${placeOf(part.parts[i])}]`);
    return `[${kind},${JSON.stringify(part.name)}${fields.join("")}]`;
  }
  if (part.kind === "opaque") {
    return `[${[kind, JSON.stringify(part.name), ...part.parts.map(placeOf)].join()}]`;
  }
  if (part.kind === "array") return `[${kind},${part.length},${placeOf(part.parts[0])}]`;
  return part.parts.length === 0 ? kind : `[${kind},${placeOf(part.parts[0])}]`;
}

/** The graph that a text describes. */
export function parseGraph(text: string): TypeGraph {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    malformed(text);
  }
  if (!Array.isArray(parsed) || parsed.length === 0) malformed(text);
  const list = parsed as unknown[];
  const isPlace = (k: unknown): boolean => typeof k === "number" && k >>> 0 === k && k < list.length;
  const graph = list.map((item) => {
    const part = parsePart(item);
    return part?.parts.every(isPlace) ? part : malformed(text);
  });
  // Only pointers, channels and slices lead back to an array.
  for (const part of graph) {
    let steps = 0;
    for (let p = part; p.kind === "array"; p = graph[p.parts[0]]) if (steps++ > graph.length) malformed(text);
  }
  return graph;
}

/** The error of a text that describes no type. */
export function malformed(text: string): never {
  throw new TypeError(`types: not the description of a type (got ${show(text)})`);
}

/** One part; null if it is malformed. Places of other parts are not checked. */
function parsePart(item: unknown): TypePart | null {
  const simple = { name: "", fields: [], length: 0, parts: [] };
  if (typeof item === "string")
    return scalarOf(item) !== undefined ? { ...simple, kind: item as Kind } : null;
  if (!Array.isArray(item)) return null;
  const [kind, second, ...rest] = item as unknown[];
  if (kind === "pointer" || kind === "chan" || kind === "slice")
    return rest.length === 0 ? { ...simple, kind, parts: [second as number] } : null;
  if (kind === "array") {
    if (typeof second !== "number" || second >>> 0 !== second || rest.length !== 1) return null;
    return { ...simple, kind, length: second, parts: [rest[0] as number] };
  }
  if (typeof second !== "string") return null;
  if (kind === "opaque") {
    return rest.length > 1 ? null : { ...simple, kind, name: second, parts: rest as number[] };
  }
  if (kind !== "struct") return null;
  const fields = rest as [string, number][];
  if (!fields.every((f) => Array.isArray(f) && f.length === 2 && typeof f[0] === "string")) return null;
  return { kind, name: second, fields: fields.map((f) => f[0]), length: 0, parts: fields.map((f) => f[1]) };
}
