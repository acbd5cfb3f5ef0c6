/** The walker of testing.ts for the arguments of a waiting task. */
import type { Addr } from "@gort/memory";
import type { TypedHeap } from "@gort/types";
import { TypeRecords } from "@gort/types/internal";
import {
  ARG_BIGINT,
  ARG_CLONE,
  ARG_HANDLE,
  ARG_LONG_BIGINT,
  ARG_LONG_SLICE,
  ARG_NUMBER,
  ARG_REF,
  ARG_SLICE,
  ARG_TEXT,
  ARG_UTF16,
  ARGS_READY,
  CELL,
  CELL_AT,
  DATA_HIGH,
  DATA_LOW,
  HEAD_AT,
} from "./args-layout.ts";

const withBytes: readonly number[] = [ARG_LONG_BIGINT, ARG_TEXT, ARG_UTF16, ARG_CLONE, ARG_LONG_SLICE];
const withType: readonly number[] = [ARG_REF, ARG_SLICE, ARG_LONG_SLICE];

/**
 * Checks the arguments of a task that waits, and throws with the numbers if an invariant is broken:
 *
 *     the address is a multiple of 8, state is ARGS_READY, n > 0, a root slot is there
 *     high words of pointers are 0
 *     every tag is known; the first word of a cell is 0 unless its tag has an object; REF and HANDLE have one
 *     REF, SLICE and LONG_SLICE have a type, HANDLE may have one, others have none; types are known to the memory
 *     SLICE: length <= capacity, and both are 0 if the array is 0
 *     the bytes of the cells lie one after the other, from multiples of 8, and fill nbytes; bytes is 0 iff nbytes is
 *
 * @param rootOf reads the root slot of the heap, which holds the array
 */
export function verifyArgs(types: TypedHeap, block: Addr, rootOf?: (slot: number) => number): void {
  const { mem } = types.heap;
  const { u32 } = mem;
  const records = new TypeRecords(mem);
  const must = (ok: boolean, text: string): void => {
    if (!ok) throw new Error(`verifyArgs: ${text}`);
  };
  must(block % 8 === 0 && block > 0, `address ${block}`);
  const head = (field: keyof typeof HEAD_AT): number => u32[(block + HEAD_AT[field]) >>> 2];
  must(head("state") === ARGS_READY, `state ${head("state")}`);
  must(head("n") > 0, `n ${head("n")}`);
  must(head("root") !== 0, "no root");
  if (rootOf !== undefined) must(rootOf(head("root")) === block, `root holds ${rootOf(head("root"))}`);
  must(head("bytesHigh") === 0, `bytesHigh ${head("bytesHigh")}`);
  must((head("bytes") === 0) === (head("nbytes") === 0), `bytes ${head("bytes")}, nbytes ${head("nbytes")}`);
  let end = 0;
  for (let i = 1; i <= head("n"); i++) {
    const at = (offset: number): number => u32[(block + i * CELL.size + offset) >>> 2];
    const [object, tag, type] = [at(CELL_AT.object), at(CELL_AT.tag), at(CELL_AT.type)];
    const where = `cell ${i} of tag ${tag}:`;
    must(tag <= ARG_HANDLE, `${where} unknown`);
    must(at(CELL_AT.objectHigh) === 0, `${where} objectHigh ${at(CELL_AT.objectHigh)}`);
    if (tag === ARG_REF || tag === ARG_HANDLE) must(object !== 0, `${where} no object`);
    else must(object === 0 || withType.includes(tag), `${where} object ${object}`);
    if (withType.includes(tag)) must(type !== 0, `${where} no type`);
    else must(type === 0 || tag === ARG_HANDLE, `${where} type ${type}`);
    if (type !== 0) records.textOf(type);
    const [low, high] = [at(DATA_LOW), at(DATA_HIGH)];
    if (tag === ARG_SLICE) must(low <= high && (object !== 0 || high === 0), `${where} ${low} of ${high}`);
    if (withBytes.includes(tag)) {
      must(low === end, `${where} bytes at ${low}, not at ${end}`);
      must(tag !== ARG_LONG_SLICE || high === 16, `${where} ${high} bytes`);
      end += (high + 7) & ~7;
    } else if (tag !== ARG_NUMBER && tag !== ARG_BIGINT && tag !== ARG_SLICE) {
      must(high === 0, `${where} data ${high}`);
    }
  }
  must(end === head("nbytes"), `bytes end at ${end}, nbytes is ${head("nbytes")}`);
}
