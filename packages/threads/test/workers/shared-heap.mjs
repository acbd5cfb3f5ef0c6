/** SharedHeap of ../../../types/test/shared-heap.ts for workers, which load no TypeScript. */
export function sharedHeap(allocator, count) {
  const { mem } = allocator;
  return {
    mem,
    malloc: (size, typ, zero = true) => allocator.mallocgc(size, typ, zero),
    newType: (size, mask) => allocator.newType(size, mask),
    storePointer(slot, value) {
      mem.u32[slot >>> 2] = value;
    },
    newRef(addr) {
      const slot = mem.persistentAlloc(8, 8, "otherSys");
      mem.f64[slot >>> 3] = addr + 1;
      mem.kernel.add(count, 1);
      return slot;
    },
    releaseRef(slot) {
      if (mem.f64[slot >>> 3] === 0) throw new Error(`release of a free root 0x${slot.toString(16)}`);
      mem.f64[slot >>> 3] = 0;
      mem.kernel.add(count, -1);
    },
    roundupsize: (size, noscan) => allocator.roundupsize(size, noscan),
    writeBarrierEnabled: () => true,
  };
}
