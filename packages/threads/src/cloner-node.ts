/** The bytes of a structured clone in Node: V8's own format. cloner-web.ts is its twin for browsers. */
import { deserialize, serialize } from "node:v8";

/** @throws Error if the value has a part that can't be cloned; also what a getter of the value throws */
export function toBytes(value: unknown): Uint8Array {
  return serialize(value);
}

export function fromBytes(bytes: Uint8Array): unknown {
  return deserialize(bytes);
}
