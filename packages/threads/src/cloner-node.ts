/** The bytes of a structured clone in Node: V8's own format. cloner-web.ts is its twin for browsers. */

let v8: typeof import("node:v8") | null = null;

/** Node's module, which takes it 2 ms to load, on each thread. So the first clone loads it. */
function nodeV8(): typeof import("node:v8") {
  v8 ??= process.getBuiltinModule("node:v8");
  return v8;
}

/** @throws Error if the value has a part that can't be cloned; also what a getter of the value throws */
export function toBytes(value: unknown): Uint8Array {
  return nodeV8().serialize(value);
}

export function fromBytes(bytes: Uint8Array): unknown {
  return nodeV8().deserialize(bytes);
}
