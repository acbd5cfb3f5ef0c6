/** Walkers and helpers for tests of code that stands on a linear memory. */
import { CONTROL, CONTROL_BASE, CONTROL_END, sysStatNames } from "./layout.ts";
import type { LinearMemory } from "./linear-memory.ts";
import type { StructType } from "./struct.ts";

// Every entry needs all of the package, which is then built as one chunk: a program has fewer files to load.
export { createLinearMemory } from "./create.ts";
export { jsKernel, wasmKernel } from "./kernel.ts";
export { assembleKernel } from "./kernel-wasm.ts";

/**
 * Checks the invariants of a memory, and throws with the numbers if one is broken:
 *
 *     the nil page is all zero
 *     CONTROL_BASE + sizeof(CONTROL) <= controlNext <= CONTROL_END
 *     persistentNext <= persistentEnd <= low <= high <= size
 *     chunkNext <= chunkEnd
 *     every SysStat >= 0, heapReleased <= heapSys, sys <= size
 */
export function verifyMemory(mem: LinearMemory): void {
  const { u32, f64 } = mem;
  const o = CONTROL.offsets;
  const at = (offset: number): number => u32[(CONTROL_BASE + offset) >>> 2];
  const must = (ok: boolean, text: string): void => {
    if (!ok) throw new Error(`verifyMemory: ${text}`);
  };
  for (let i = 0; i < CONTROL_BASE >>> 2; i++) must(u32[i] === 0, `nil page written at ${i * 4}: ${u32[i]}`);
  const controlNext = at(o.controlNext);
  must(
    controlNext >= CONTROL_BASE + CONTROL.size && controlNext <= CONTROL_END,
    `controlNext ${controlNext}`,
  );
  const high = f64[(CONTROL_BASE + o.high) >>> 3];
  const cursors = [at(o.persistentNext), at(o.persistentEnd), at(o.low), high, mem.size];
  for (let i = 1; i < cursors.length; i++) {
    must(cursors[i - 1] <= cursors[i], `cursors out of order: ${cursors.join(", ")}`);
  }
  must(at(o.chunkNext) <= at(o.chunkEnd), `chunk ${at(o.chunkNext)} > ${at(o.chunkEnd)}`);
  for (const name of sysStatNames) must(mem.stats.get(name) >= 0, `${name} is ${mem.stats.get(name)}`);
  must(mem.stats.heapReleased <= mem.stats.heapSys, "heapReleased > heapSys");
  must(mem.stats.sys <= mem.size, `sys ${mem.stats.sys} > size ${mem.size}`);
}

/** A struct as text, one line per field, for failure messages. */
export function dumpStruct(mem: LinearMemory, addr: number, type: StructType<string>): string {
  const lines = type.fields.map((f) => {
    const a = addr + f.offset;
    let value: string;
    if (f.type === "f64") value = String(mem.view.getFloat64(a, true));
    else if (f.type === "f32") value = String(mem.view.getFloat32(a, true));
    else if (f.type === "i32") value = String(mem.view.getInt32(a, true));
    else if (f.type === "u16") value = String(mem.view.getUint16(a, true));
    else if (f.type === "u8") value = String(mem.view.getUint8(a));
    else value = f.type === "u32" ? String(mem.view.getUint32(a, true)) : `(${f.size} bytes)`;
    return `  ${f.name.padEnd(16)} ${value}`;
  });
  return `${type.name} at 0x${addr.toString(16)}\n${lines.join("\n")}`;
}
