/**
 * Everything of the allocator that lives in linear memory, declared once. Widths are bytes; a field is a
 * u32 unless said otherwise. Addresses are absolute. Beside each struct X stands X_AT, the byte offsets of its
 * fields: u32[(span + MSPAN_AT.npages) >>> 2].
 *
 *     low addresses                                                                   high addresses
 *     +-----+---------+------------+-----------+----------+----------+----------+--------+---------->
 *     | nil | control | persistent | span bits | heapBits | pageInfo | pageSpan | palloc | heap ...
 *     +-----+---------+------------+-----------+----------+----------+----------+--------+---------->
 *              64 KiB    size/64     2 size/64    size/64   size/2048  size/2048  allspans, 4 MiB
 *                                   (first half                                   bitmaps,   chunks
 *                                  below 128 MiB)                                 summaries
 *
 * The side tables are reserved at full size and touched only where they describe heap that exists. That part is
 * counted in GCSys as the heap grows. The tables are indexed by absolute address:
 *
 *     heapBits   1 bit a word: bit (a >>> 3) & 31 of u32[(heapBitsBase + ((a >>> 8) << 2)) >>> 2] is 1 if the word
 *                at a is a pointer slot. Valid for objects of pointerful span classes with elemsize <= 512. In a heap
 *                that was never collected, it is also 1 where a block by hand begins: spans without pointers hold
 *                these. It is 0 everywhere else: see manual.ts.
 *     pageInfo   u32 a page, at pageInfoBase + (a >>> 13 << 2): span class and address of the mark bits of the span
 *                of objects that holds the page; page-info.ts draws it.
 *     pageSpan   u32 a page, at pageSpanBase + (a >>> 13 << 2): the span that holds the page, 0 if none. Set
 *                for every page of heap and manual spans.
 *
 * Span bits: each heap span owns a block of mark bits and one of alloc bits (span-bits.ts). Both have the same power
 * of two of bytes (8 to 128), at least ceil(nelems/32) words. Bit i belongs to object i.
 *
 *     allocBits   1 = the slot is handed out: to the program, or to the run that an mcache is cutting from.
 *                 Unlike Go's it is always exact, except for the unused tail of a current run and its rest.
 *     gcmarkBits  1 = marked by a collection that runs, or whose sweep has not reached the span yet. In a swept span
 *                 all are 0 until the next mark phase, except those of parked blocks (manual.ts).
 */
import { defineStruct, f64s, u32s } from "@gort/memory/internal";
import { NUM_SIZE_CLASSES } from "./sizeclasses.generated.ts";

export const PAGE_SHIFT = 13;
export const PAGE_SIZE = 1 << PAGE_SHIFT;
/** Bytes of a pointer slot: heapBits has one bit for each. */
export const PTR_SIZE = 8;
/** Bytes of heap that a word of heapBits describes, and the words for a page. */
export const HEAP_BITS_WORD_BYTES = 32 * PTR_SIZE;
export const HEAP_BITS_WORDS = PAGE_SIZE / HEAP_BITS_WORD_BYTES;
/** heapBits is touched and counted by 4 KiB, each of which describes 2^18 bytes of heap. */
export const HEAP_BITS_PAGE = 4096;
export const HEAP_BITS_PAGE_SHIFT = 18;
/** A chunk of the page allocator and the unit of heap growth: 512 pages, 4 MiB. */
export const CHUNK_SHIFT = 22;
export const CHUNK_BYTES = 1 << CHUNK_SHIFT;
export const CHUNK_PAGES = CHUNK_BYTES / PAGE_SIZE;

export const NUM_SPAN_CLASSES = NUM_SIZE_CLASSES << 1;
/** The largest request of the small path: an 8-byte header must still fit class 67. */
export const MAX_SMALL_REQUEST = 32760;
/** Pointerful objects above this size carry an 8-byte header that holds their type. */
export const MIN_SIZE_FOR_HEADER = 512;
export const MALLOC_HEADER_SIZE = 8;
export const TINY_SIZE = 16;
/** Size class and span class of tiny blocks: 16 bytes without pointers. */
const TINY_SIZE_CLASS = 2;
export const TINY_SPAN_CLASS = (TINY_SIZE_CLASS << 1) | 1;

// Span classes: sizeclass << 1 | noscan.
/** Large objects, with and without pointers. */
export const LARGE_SCAN_SPAN_CLASS = 0;
export const LARGE_NOSCAN_SPAN_CLASS = 1;
/** The first span class of small objects, and the first of those without pointers. */
export const FIRST_SMALL_SPAN_CLASS = 2;
export const FIRST_NOSCAN_SPAN_CLASS = 3;
/**
 * Span structs that an mcache takes at a time: 3 KiB, as many as half of a page cache has use for. More: more structs
 * in threads that make no spans. Less: more visits to the heap lock.
 */
export const SPAN_BATCH = 32;

/** mspan.state. */
export const SPAN_DEAD = 0;
export const SPAN_IN_USE = 1;
export const SPAN_MANUAL = 2;

/** mspan.manualKind: the owner of a span in state SPAN_MANUAL, which decides where its bytes are counted. */
export const MANUAL_STACK = 1;
export const MANUAL_GC = 2;

/** GCCONTROL.gcPhase. */
export const GC_OFF = 0;
export const GC_MARK = 1;
export const GC_MARK_TERMINATION = 2;

/**
 * A run of pages in use.
 *
 * sweepgen, relative to GCCONTROL.sweepgen (sg), which grows by 2 at the start of each sweep:
 *
 *     sg-2  needs sweeping        sg-1  is being swept       sg  swept and ready
 *     sg+3  swept and cached by an mcache (flushAll empties the mcaches before sg moves, so Go's sg+1,
 *           "cached across the start of a sweep", does not occur)
 */
export const MSPAN = defineStruct("mspan", {
  /** Links in an mcentral list or a free list; list is the address of the head it is on, 0 if none. */
  next: "u32",
  prev: "u32",
  list: "u32",
  startAddr: "u32",
  npages: "u32",
  /** Slots in the span. */
  nelems: "u32",
  /** Bytes of a slot; npages << 13 for a large object. */
  elemsize: "u32",
  /** sizeclass << 1 | noscan. */
  spanclass: "u32",
  state: "u32",
  sweepgen: "u32",
  /** Slots handed out, including the current run of an mcache: the number of ones in allocBits. */
  allocCount: "u32",
  /** No slot below this index is free. A hint, exact after a sweep resets it to 0. */
  freeindex: "u32",
  gcmarkBits: "u32",
  allocBits: "u32",
  /** End of the data: startAddr + nelems * elemsize, or startAddr + the size asked for of a large object. */
  limit: "u32",
  /** 1: free slots may hold old data and are cleared when handed out. */
  needzero: "u32",
  /** First special, sorted by offset and kind; 0 if none. */
  specials: "u32",
  /** Type of the large object in a pointerful span of class 0. */
  largeType: "u32",
  /** objIndex = Math.imul(offset >>> 3, divMul) >>> divShift. */
  divMul: "u32",
  divShift: "u32",
  /** MANUAL_STACK or MANUAL_GC in state SPAN_MANUAL. */
  manualKind: "u32",
  /** Head of the list of free pieces in a stack span; 0 in a heap span. */
  manualFreeList: "u32",
  /** Guards specials. */
  speclock: "u32",
  /**
   * Position in allspans, plus 1. Last, as it outlives the span: allspans lists each struct once (span-structs.ts).
   */
  index: "u32",
});
export const MSPAN_AT = MSPAN.offsets;

/** An mcache's part for one span class: the run it cuts objects from, and the span of the run. */
export const MCACHE_SLOT = defineStruct("mcacheSlot", {
  /** Address of the next object; cur === end: the run is used up. */
  cur: "u32",
  end: "u32",
  elemsize: "u32",
  /** Type whose pointer bits every slot of the run has, or will have: see mcache.ts. 0 in a noscan class. */
  typ: "u32",
  /** The cached span; 0: none. */
  span: "u32",
  /** Blocks freed by hand, linked through their first word: see freed.ts. */
  free: "u32",
  /** Blocks taken from that list since the accounts were settled. */
  reused: "u32",
  /** credit: frees until the accounts are settled again. granted: the credit when they were settled last. */
  credit: "u32",
  granted: "u32",
  /** Length of the list when the accounts were settled. */
  nfree: "u32",
  /** Parked blocks: freed, and waiting until another thread gives their span up. */
  parked: "u32",
  /** Slots claimed with the run for the runs after it: bit k is slot 32 * restWord + k of the span. */
  rest: "u32",
  restWord: "u32",
  /**
   * In a mark phase of a shared heap: the first object of the run whose pointer bits are still to be written, by typ.
   * 0: the bits of the whole run are written. See mcache.ts.
   */
  bitless: "u32",
});
export const MCACHE_SLOT_AT = MCACHE_SLOT.offsets;
// The same as words from the first of the slot, for the hot paths.
export const SLOT_CUR = MCACHE_SLOT_AT.cur >>> 2;
export const SLOT_END = MCACHE_SLOT_AT.end >>> 2;
export const SLOT_ELEMSIZE = MCACHE_SLOT_AT.elemsize >>> 2;
export const SLOT_TYP = MCACHE_SLOT_AT.typ >>> 2;
export const SLOT_SPAN = MCACHE_SLOT_AT.span >>> 2;
export const SLOT_FREE = MCACHE_SLOT_AT.free >>> 2;
export const SLOT_REUSED = MCACHE_SLOT_AT.reused >>> 2;
export const SLOT_CREDIT = MCACHE_SLOT_AT.credit >>> 2;
export const SLOT_GRANTED = MCACHE_SLOT_AT.granted >>> 2;
export const SLOT_NFREE = MCACHE_SLOT_AT.nfree >>> 2;
export const SLOT_PARKED = MCACHE_SLOT_AT.parked >>> 2;
export const SLOT_REST = MCACHE_SLOT_AT.rest >>> 2;
export const SLOT_REST_WORD = MCACHE_SLOT_AT.restWord >>> 2;
export const SLOT_BITLESS = MCACHE_SLOT_AT.bitless >>> 2;
export const SLOT_WORDS = MCACHE_SLOT.size >>> 2;

/**
 * Pages that an mcache has claimed from the page allocator, 64 in a row that begin at a multiple of 64. Small spans
 * are cut from them without the heap lock (mpagecache.ts). In the heap's bit maps they are in use and not
 * scavenged.
 */
export const PAGE_CACHE = defineStruct("pageCache", {
  /** First page; without meaning while no bit is set. */
  base: "u32",
  /** Bit i of word k: page base + 32 * k + i is free. */
  free: u32s(2),
  /** The same for free pages without physical memory. */
  scav: u32s(2),
  /** 1: when they were claimed, none of these pages had ever been handed out. */
  fresh: "u32",
});
export const PAGE_CACHE_AT = PAGE_CACHE.offsets;

/**
 * A thread's recovery log: the span that it makes or moves, and the run that it changes. recovery.ts explains the
 * entries. The entry of a span has no meaning while `span` is 0.
 */
export const RECOVERY_LOG = defineStruct("recoveryLog", {
  /** Before the change: heapInUse, heapFree, heapReleased, and the bytes and number of large objects. */
  counts: f64s(5),
  span: "u32",
  /**
   * 0: an existing span moves. Otherwise a span is made: SpanPlan.code, spanclass | state << 8 | manualKind << 16.
   */
  plan: "u32",
  npages: "u32",
  bits: "u32",
  /** page: first page of the new span, 0 before it is chosen. scavenged: pages of it without physical memory. */
  page: "u32",
  scavenged: "u32",
  /** LOG_PAGES_TAKEN: the pages are the thread's. LOG_PAGES_COUNTED: and the counters include them. */
  progress: "u32",
  /**
   * The last change of a run: that of the mcache's slot at this word (0: none), in a heap that threads share. It
   * was complete if the mcache's version is 2 more than runVersion.
   */
  runSlot: "u32",
  runVersion: "u32",
  /**
   * run: index of the first slot in the span << 16 | number of slots. runEnd: 0 if the run was claimed. If it went
   * back, the end of the run before (1 for 2^32).
   */
  run: "u32",
  runEnd: "u32",
  /** The count of objects of the class before the change. */
  runCount: "f64",
});
export const RECOVERY_LOG_AT = RECOVERY_LOG.offsets;
export const LOG_PAGES_TAKEN = 1;
export const LOG_PAGES_COUNTED = 2;

/**
 * The allocator's part of a P. Its owner alone changes it, or any thread while the world is stopped. Exceptions:
 * pages.free (mpagecache.ts) and owned (mcache-owner.ts).
 */
export const MCACHE = defineStruct("mcache", {
  /**
   * Slots of all span classes. Slot 0 (large, pointerful) stays empty, so that types that need the slow path name
   * it.
   */
  alloc: u32s(NUM_SPAN_CLASSES * (MCACHE_SLOT.size / 4)),
  /**
   * First free byte of the current tiny block. There is no room if it is a multiple of 16: the end of a block, or
   * 0. (Go's tiny and tinyoffset in one word, as blocks are aligned.)
   */
  tiny: "u32",
  /** Objects put into an existing tiny block and not yet added to tinyAllocs. */
  tinyCount: "u32",
  /** next links all mcaches, from mheap.mcaches. id is the order of making. Mcaches are reused, never freed. */
  next: "u32",
  id: "u32",
  /** Number of the thread that owns it (mem.thread); 0: none. See mcache-owner.ts. */
  owned: "u32",
  /** Odd while counts of objects and the ends of a run change together, in a heap that threads share: see mstats.ts. */
  version: "u32",
  pages: PAGE_CACHE,
  /** Span structs and blocks of span bits (of 8, 16, 32, 64, 128 bytes) taken from the heap ahead of use. */
  spanFree: "u32",
  nspanFree: "u32",
  spanBitsFree: u32s(5),
  nspanBitsFree: "u32",
  /** Bytes that this thread has not yet added to heapLive (mcache.ts). A signed word. */
  untoldLive: "u32",
  /** A bit for each span class that may have a span cached, so that a flush looks at these only. */
  held: u32s(Math.ceil(NUM_SPAN_CLASSES / 32)),
  /** The span that this thread is sweeping, in a heap that threads share; 0: none. See mcentral.ts. */
  sweeping: "u32",
  /** State of the random numbers of the memory profile's samples. */
  sampleRng: "u32",
  /** Objects put into an existing tiny block, without tinyCount. */
  tinyAllocs: "f64",
  /**
   * The memory profile's sampling (heap-sampler.ts): the rate that the countdowns were drawn with, and for each span
   * class the bytes to allocate in it until its next sample.
   */
  sampleRate: "f64",
  nextSample: f64s(NUM_SPAN_CLASSES),
  largeAlloc: "f64",
  largeAllocCount: "f64",
  largeFree: "f64",
  largeFreeCount: "f64",
  smallAllocCount: f64s(NUM_SIZE_CLASSES),
  smallFreeCount: f64s(NUM_SIZE_CLASSES),
  /** Free pieces of stack by order: head and bytes. */
  stackFree: u32s(4),
  stackFreeBytes: u32s(4),
  /**
   * This mcache's shares of the heap's bytes by use: see heap-counters.ts. heapInUse includes the pages of retained
   * spans.
   */
  heapInUse: "f64",
  heapFree: "f64",
  heapReleased: "f64",
  stackInUse: "f64",
  gcManualInUse: "f64",
  /** Pages (not bytes) of the spans on mcentrals' empty lists. */
  emptyPages: "f64",
  recoveryLog: RECOVERY_LOG,
});
export const MCACHE_AT = MCACHE.offsets;
/** Words of `held`. */
export const HELD_WORDS = Math.ceil(NUM_SPAN_CLASSES / 32);

/** Spans of one span class that no mcache holds. Which of a pair is "swept" depends on sweepgen / 2 & 1. */
export const MCENTRAL = defineStruct("mcentral", {
  /** First, so that its address is the struct's. */
  lock: "u32",
  /** Heads of the lists of spans with a free slot. */
  partial: u32s(2),
  /** Heads of the lists of spans without one. */
  full: u32s(2),
  /** The list of retained spans: without objects, counted as free, ready to be used by this class again. */
  empty: "u32",
  /** Its last span. */
  emptyTail: "u32",
});
export const MCENTRAL_AT = MCENTRAL.offsets;

/** A free list of structs of one size, refilled from chunks of 16 KiB. */
export const FIXALLOC = defineStruct("fixalloc", {
  size: "u32",
  freelist: "u32",
  chunk: "u32",
  chunkEnd: "u32",
  inuseBytes: "f64",
});
export const FIXALLOC_AT = FIXALLOC.offsets;

/** The page allocator's words: the hint, and a dirty bit for each of 1024 chunks. */
export const PALLOC_WORDS = 1 + 1024 / 32;

/**
 * Figures that the collector sets and the allocator reads, and heapLive, which the allocator sets. gc owns every
 * field but heapLive.
 */
export const GCCONTROL = defineStruct("gcControl", {
  /** An allocation that ends with heapLive >= trigger calls hooks.gcTrigger. Infinity: never. */
  trigger: "f64",
  heapGoal: "f64",
  /** Bytes marked by the last collection. */
  heapMarked: "f64",
  /**
   * Bytes of objects that are allocated or not yet swept, including the unused slots of current runs. In a heap
   * that threads share, each thread may hold back up to 64 KiB until it flushes.
   */
  heapLive: "u32",
  gcPhase: "u32",
  writeBarrierEnabled: "u32",
  sweepgen: "u32",
  /** Span pages swept in this cycle: the collector's to use. */
  pagesSwept: "u32",
  cycles: "u32",
  flags: "u32",
});
export const GCCONTROL_AT = GCCONTROL.offsets;

/** The heap as a whole; one a memory. Guarded by lock unless said otherwise. */
export const MHEAP = defineStruct("mheap", {
  lock: "u32",
  /** 1: several threads may use the heap, and locks are taken. Set by share, on the only thread. */
  shared: "u32",
  /** Lowest and highest + 1 address that was ever heap. */
  arenaStart: "u32",
  arenaEnd: "u32",
  /** No page above it was ever handed out: memory there is zero although no release made it so. */
  zeroedBase: "u32",
  /** The page allocator's hint and dirty chunks. */
  palloc: u32s(PALLOC_WORDS),
  /** 1: pages were returned to the operating system, so a scavenged page need not be a fresh one. */
  everReleased: "u32",
  /** 1: the operating system has refused to take pages back, and hooks.releaseRefused was called. */
  releaseRefused: "u32",
  /** First chunk, counted from the top, in which the scavenger may still find something. */
  scavChunk: "u32",
  nspans: "u32",
  mcaches: "u32",
  nmcaches: "u32",
  spanBitsNext: "u32",
  spanBitsEnd: "u32",
  /** Free blocks of span bits of 8, 16, 32, 64 and 128 bytes, linked through the first word of their mark bits. */
  spanBitsFree: u32s(5),
  /** Stack spans of each order that have a free piece. */
  stackPool: u32s(4),
  /** nextSpanForSweep's place in mcentral's lists, and the sweep that it is of: see mcentral.ts. */
  sweepCursor: "u32",
  /** 1: an mcache without owner may have parked blocks (freed.ts). */
  orphans: "u32",
  /** 1: blocks have been freed by hand, so that mcaches may have accounts to settle (freed.ts). */
  freedByHand: "u32",
  /** Where zero-size objects are; 8 bytes that stay zero. */
  zerobase: "f64",
  spanalloc: FIXALLOC,
  specialalloc: FIXALLOC,
  cachealloc: FIXALLOC,
  /** Mean bytes from one sample of the memory profile to the next, for all threads: see heap-sampler.ts. */
  memProfileRate: "f64",
  /** Bytes that may be mapped and hold physical pages; Infinity without a limit. */
  memoryLimit: "f64",
  /**
   * Free bytes that the last scavenge could not release: refused, or claimed by another thread's page cache. Pages
   * that have come back from a page cache since do not count. A hint: read without the lock, changed under it.
   */
  stuckBytes: "f64",
  /** The scavenger's goals (0: never set), and its work since the last trace line. */
  gcPercentGoal: "f64",
  memoryLimitGoal: "f64",
  scavengedBackground: "f64",
  scavengedEager: "f64",
  /** Nanoseconds that the scavenger has worked in the background, and while the heap grew. */
  scavengeBackgroundNs: "f64",
  scavengeAssistNs: "f64",
  gcControl: GCCONTROL,
  central: u32s(NUM_SPAN_CLASSES * (MCENTRAL.size / 4)),
});
export const MHEAP_AT = MHEAP.offsets;

/**
 * A type for the collector: where the pointers are in `size` bytes. An allocation of n * size bytes repeats the
 * mask every `size` bytes. Made by newType, never freed.
 */
export const GCTYPE = defineStruct("gcType", {
  size: "u32",
  /** Bytes up to and including the last pointer; 0: no pointers. */
  ptrdata: "u32",
  /** Pointer mask of the first 32 words. */
  mask0: "u32",
  /** Address of the whole mask, ceil(ptrdata / 256) words. */
  maskAddr: "u32",
  /** Word offset of the mcache slot of one object; 0 (the empty slot) if it needs the slow path. */
  slotWord: "u32",
  /** GCTYPE_NOSCAN. */
  flags: "u32",
  /** The next record of the same list of the table of types (type-table.ts); 0 at its end. */
  next: "u32",
});
export const GCTYPE_AT = GCTYPE.offsets;
export const GCTYPE_NOSCAN = 1;

/** A record attached to an object: see specials.ts. */
export const SPECIAL = defineStruct("special", {
  next: "u32",
  /** Byte offset in the span of the address it was added for. */
  offset: "u32",
  kind: "u32",
  /** Meaning by kind; never an address the collector follows by itself. */
  data: "u32",
  data2: "u32",
});
export const SPECIAL_AT = SPECIAL.offsets;

/** special.kind, in the order in which an object's specials are kept. */
export const SPECIAL_FINALIZER = 1;
export const SPECIAL_WEAK = 2;
export const SPECIAL_CLEANUP = 3;
export const SPECIAL_PROFILE = 4;
export const SPECIAL_PIN = 5;
/** A block that a thread allocated under checks: see block-checks.ts. */
export const SPECIAL_BLOCK = 6;
