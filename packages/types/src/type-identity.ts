/**
 * The identity of types across threads.
 *
 * A Type is a JavaScript object, so each thread has its own. Inside of one thread Go's rule holds: composite types are
 * identical if their parts are, and a struct is identical only to itself (identical.ts). Across threads an object can't
 * be the identity. There a type is its description: kinds, names of structs and of their fields, element types and
 * lengths. Sizes and offsets follow from these.
 *
 *   1. `describeType` writes the description of a type as text (type-graph.ts). One type has one text on all threads.
 *   2. type-records.ts keeps the text once in the linear memory. Its address is the type's number, for records of
 *      arguments, channels and the like.
 *   3. `typeFromDescription` finds or makes the thread's own type. It interns: one text gives one Type per thread.
 *      It takes, in this order,
 *        - the type that the thread has described or found before,
 *        - the first struct of that name and description that a module of this thread has declared,
 *        - a new type. Such a type works as a declared one does. It appears where the thread has loaded no module that
 *          declares the type, or only later.
 *
 * Two declarations with one name and the same fields have one description. `sameAcrossThreads` lets such structs be
 * assigned to each other as soon as a value of one of them came from another thread. So a program cannot tell which of
 * the two was found. Their memory is the same, so a mistake can't harm other objects. Structs that have not crossed
 * threads keep Go's rule.
 *
 * An opaque type is its name: only its own code knows its values. A thread without that code cannot find the type.
 *
 * A getter or thunk of a candidate may fail while the modules of a thread still load. Such a candidate counts as not
 * declared.
 *
 * Rejected: the place of the declaration as a part of the identity, because bundles for workers have other places; the
 * how-manieth declaration of its name, because threads load modules in different orders.
 *
 * All state here belongs to the thread. Types that crossed threads are never dropped, and neither are their
 * descriptions.
 */
import { declaredAs } from "./declared.ts";
import { opaqueOf } from "./opaque.ts";
import {
  ArrayType,
  ChanType,
  fieldNames,
  PointerType,
  SliceType,
  StructType,
  scalarOf,
  type Type,
} from "./type.ts";
import { classesOf, describePart, malformed, parseGraph, reachOf, type TypePart } from "./type-graph.ts";

const descriptions = new WeakMap<Type, string>();
/** The thread's type for each description that has crossed threads. */
const interned = new Map<string, Type>();
/** Types that came from another thread, or were found for one that did. Their parts are here too. */
const crossed = new WeakSet<Type>();

/** The text that describes a type on every thread. It may call getters and thunks of the declaration. */
export function describeType(type: Type): string {
  let text = descriptions.get(type);
  if (text === undefined) {
    const { graph } = reachOf(type);
    text = describePart(graph, classesOf(graph), 0);
    descriptions.set(type, text);
  }
  return text;
}

/** As describeType. `typeFromDescription` will give this very type, unless it knows another type of the same text. */
export function internType(type: Type): string {
  const text = describeType(type);
  intern(text, type);
  return text;
}

/**
 * This thread's type of a description.
 *
 * @throws TypeError if the text is not a result of `describeType`, or the thread lacks an opaque type
 */
export function typeFromDescription(text: string): Type {
  const type = interned.get(text) ?? build(text);
  if (!crossed.has(type)) for (const part of reachOf(type).types) crossed.add(part);
  return type;
}

/** Whether two structs are one type because a value of one of them has crossed threads. */
export function sameAcrossThreads(a: StructType, b: StructType): boolean {
  return a.name === b.name && (crossed.has(a) || crossed.has(b)) && describeType(a) === describeType(b);
}

/** The type of a text that is not interned. It takes the structs that the thread knows or has declared. */
function build(text: string): Type {
  const graph = parseGraph(text);
  const classes = classesOf(graph);
  const types = new Map<number, Type>();
  const unknown: { readonly k: number; readonly text: string }[] = [];
  graph.forEach((part, k) => {
    if (part.kind !== "struct") return;
    const description = describePart(graph, classes, k);
    const found = interned.get(description) ?? declared(part, description);
    if (found === undefined) unknown.push({ k, text: description });
    else types.set(k, found);
  });
  const typeOf = (k: number): Type => {
    let type = types.get(k);
    if (type === undefined) types.set(k, (type = make(graph[k], typeOf)));
    return type;
  };
  const type = typeOf(0);
  if (describeType(type) !== text) malformed(text);
  // A thunk of a candidate may have asked for the same types: the first one counts.
  for (const struct of unknown) intern(struct.text, typeOf(struct.k));
  return intern(text, type);
}

function intern(text: string, type: Type): Type {
  const first = interned.get(text) ?? type;
  interned.set(text, first);
  return first;
}

/** The first declared struct of this description. */
function declared(part: TypePart, text: string): Type | undefined {
  return declaredAs(part.name).find((type) => {
    const names = fieldNames(type);
    if (names.length !== part.fields.length || !names.every((name, i) => name === part.fields[i]))
      return false;
    try {
      return describeType(type) === text;
    } catch {
      // A getter or thunk that can't give its type yet.
      return false;
    }
  });
}

/** A new type of a part. Its own parts are asked for when they are first needed, except the element of an array. */
function make(part: TypePart, typeOf: (k: number) => Type): Type {
  const { kind, parts } = part;
  if (kind === "struct") {
    const fields: [string, () => Type][] = part.fields.map((name, i) => [name, () => typeOf(parts[i])]);
    return new StructType(part.name, Object.fromEntries(fields));
  }
  if (kind === "pointer") return new PointerType(() => typeOf(parts[0]));
  if (kind === "chan") return new ChanType(() => typeOf(parts[0]));
  if (kind === "slice") return new SliceType(() => typeOf(parts[0]));
  if (kind === "array") return new ArrayType(typeOf(parts[0]), part.length);
  if (kind === "opaque") return opaque(part.name, parts.length === 0 ? null : () => typeOf(parts[0]));
  return scalarOf(kind) as Type;
}

/** The members of an opaque type are code, so the thread must have them. A bundler may have left them out. */
function opaque(name: string, elem: (() => Type) | null): Type {
  const type = opaqueOf(name, elem);
  if (type === undefined)
    throw new TypeError(`types: no module of this thread has made ${name}: import it here too`);
  return type;
}
