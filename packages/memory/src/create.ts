/** Makes a memory, or attaches this thread to a memory that another thread made. */
import { hasControlBlock } from "./control-block.ts";
import { hostPlatform, withLargestGrant } from "./grant.ts";
import { LinearMemory } from "./linear-memory.ts";
import {
  type AttachOptions,
  checkCommonOptions,
  checkCreateOptions,
  type LinearMemoryOptions,
  MIN_MEMORY,
} from "./options.ts";
import { isWasmMemory, type WasmMemory } from "./wasm-host.ts";

/**
 * Reserves a memory. Where the platform refuses every WebAssembly.Memory, the memory is a plain buffer.
 *
 * @throws RangeError if the platform grants less than 64 MiB
 */
export function createLinearMemory(options: LinearMemoryOptions = {}, platform = hostPlatform): LinearMemory {
  const { size, shared } = checkCreateOptions(options);
  return withLargestGrant(
    size,
    shared,
    platform,
    (memory, grant) => new LinearMemory(memory, options, grant),
  );
}

/**
 * A view of a memory that another thread created. The memory must be shared, or the same thread's. `memory` is the
 * `memory` of the other LinearMemory, or its `buffer` where `memory` is null.
 */
export function attachLinearMemory(
  memory: WasmMemory | ArrayBufferLike,
  options: AttachOptions = {},
): LinearMemory {
  checkCommonOptions(options);
  const buffer: unknown = isWasmMemory(memory) ? memory.buffer : memory;
  if (!isBuffer(buffer) || buffer.byteLength < MIN_MEMORY || !hasControlBlock(buffer)) {
    throw new TypeError(
      "memory: attachLinearMemory needs a memory made by createLinearMemory: " +
        "its `memory`, or its `buffer` where that is null",
    );
  }
  return new LinearMemory(memory, options);
}

function isBuffer(x: unknown): x is ArrayBufferLike {
  const shared = typeof SharedArrayBuffer !== "undefined" && x instanceof SharedArrayBuffer;
  return shared || x instanceof ArrayBuffer;
}
