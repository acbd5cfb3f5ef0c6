/**
 * The memory that a heap of 1 GiB of 64-byte objects, or of blocks by hand, needs beyond the objects' bytes: tables,
 * span structs, bits, and the unused ends of spans.
 *
 *     pnpm build && node bench/metadata.bench.ts      (Node 22.18 or later)
 *     go run bench/go/metadata.go noscan              (Go's side; or pointers)
 */
import { createAllocator, newHeapStats } from "@gort/allocator";

const N = 2 ** 24;

for (const kind of ["noscan", "pointers", "by hand"]) {
  const a = createAllocator();
  const typ = a.newType(64, [3]);
  if (kind === "by hand") for (let i = 0; i < N; i++) a.malloc(64);
  else if (kind === "noscan") for (let i = 0; i < N; i++) a.mallocNoscan(64);
  else for (let i = 0; i < N; i++) a.mallocTyped(typ);
  const st = a.readStats(newHeapStats());
  const overhead = st.sys - st.heapIdle - st.stackInuse - N * 64;
  console.log(
    `${kind.padEnd(10)} ${((overhead / (N * 64)) * 100).toFixed(2).padStart(5)} % ` +
      `(mspanSys ${st.mspanSys}, gcSys ${st.gcSys}, otherSys ${st.otherSys})`,
  );
}
