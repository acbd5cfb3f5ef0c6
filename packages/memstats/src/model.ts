/** A small heap with a seed that allocates and collects by itself: a source of consistent figures for tests. */
import { TimeHistogram } from "./histogram.ts";
import { CLASS_SIZES } from "./identities.ts";
import type { MetricsSource, RawMetrics } from "./raw-metrics.ts";
import { NUM_SIZE_CLASSES, PAUSE_RING, type RawStats, type StatsSource } from "./source.ts";

const PAGE = 8192;
const MIB = 1 << 20;

/** An imaginary process. Its figures are consistent with each other. */
export interface ModelSource extends StatsSource {
  /** Allocates a little, changes pages and stacks, and collects when the heap reaches its goal. */
  step(): void;
  /** One collection now. */
  collect(forced: boolean): void;
  /** The model's clock: nanoseconds since 1970. */
  readonly now: bigint;
  random(): number;
}

/** mulberry32: a small random generator with a seed; its quality suffices to choose sizes. */
function generator(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

class ModelHeap implements ModelSource {
  readonly random: () => number;
  now = 1_700_000_000_000_000_000n;
  readonly #allocs = new Float64Array(NUM_SIZE_CLASSES);
  readonly #frees = new Float64Array(NUM_SIZE_CLASSES);
  readonly #pauseNs = new Float64Array(PAUSE_RING);
  readonly #pauseEnd = new BigUint64Array(PAUSE_RING);
  /** Bytes of the large objects that are allocated. */
  readonly #large: number[] = [];
  #largeAllocs = 0;
  #largeAllocBytes = 0;
  #largeFrees = 0;
  #largeFreeBytes = 0;
  #tiny = 0;
  #numGC = 0;
  #forcedGC = 0;
  #pauseTotal = 0;
  #fraction = 0;
  #nextGC = 4 * MIB;
  #inuse = 0;
  #idle = 4 * MIB;
  #released = 4 * MIB;
  #stacks = 4 * PAGE;
  #mspanSys = 16384;
  #buckets = 0;

  constructor(seed: number) {
    this.random = generator(seed);
  }

  #upTo(n: number): number {
    return Math.floor(this.random() * n);
  }

  #heapAlloc(): number {
    let n = this.#largeAllocBytes - this.#largeFreeBytes;
    for (let i = 1; i < NUM_SIZE_CLASSES; i++) n += (this.#allocs[i] - this.#frees[i]) * CLASS_SIZES[i];
    return n;
  }

  /** Moves pages between in use and idle, and grows the heap if there are too few. */
  #settlePages(): void {
    const need = Math.ceil(this.#heapAlloc() / PAGE) * PAGE + this.#upTo(8) * PAGE;
    const total = this.#inuse + this.#idle;
    this.#inuse = need;
    this.#idle = need > total ? this.#upTo(16) * PAGE : total - need;
    this.#released = Math.min(this.#released, this.#idle);
  }

  step(): void {
    this.now += BigInt(1 + this.#upTo(1_000_000));
    for (let k = this.#upTo(40); k > 0; k--) {
      const c = 1 + this.#upTo(NUM_SIZE_CLASSES - 1);
      this.#allocs[c] += 1 + this.#upTo(20);
      if (c === 2) this.#tiny += this.#upTo(30);
    }
    if (this.random() < 0.1) {
      const bytes = (5 + this.#upTo(100)) * PAGE;
      this.#large.push(bytes);
      this.#largeAllocs++;
      this.#largeAllocBytes += bytes;
    }
    if (this.random() < 0.05) this.#stacks = (4 + this.#upTo(64)) * PAGE;
    if (this.random() < 0.02) this.#mspanSys += 16384;
    if (this.random() < 0.02) this.#buckets += 4096;
    this.#settlePages();
    if (this.#heapAlloc() > this.#nextGC) this.collect(false);
  }

  collect(forced: boolean): void {
    this.now += BigInt(1000 + this.#upTo(1_000_000));
    for (let i = 1; i < NUM_SIZE_CLASSES; i++) {
      this.#frees[i] += Math.floor((this.#allocs[i] - this.#frees[i]) * this.random());
    }
    while (this.#large.length > 0 && this.random() < 0.6) {
      this.#largeFrees++;
      this.#largeFreeBytes += this.#large.pop() ?? 0;
    }
    const pause = 1 + this.#upTo(200_000);
    this.#pauseNs[this.#numGC % PAUSE_RING] = pause;
    this.#pauseEnd[this.#numGC % PAUSE_RING] = this.now;
    this.#pauseTotal += pause;
    this.#numGC++;
    if (forced) this.#forcedGC++;
    this.#fraction = this.random() * 0.25;
    this.#nextGC = Math.max(4 * MIB, 2 * this.#heapAlloc());
    this.#settlePages();
    this.#released = Math.min(this.#idle, this.#upTo(this.#idle / PAGE + 1) * PAGE);
  }

  fill(raw: RawStats): void {
    raw.heapInuse = this.#inuse;
    raw.heapIdle = this.#idle;
    raw.heapReleased = this.#released;
    raw.classSizes.set(CLASS_SIZES);
    raw.smallAllocCount.set(this.#allocs);
    raw.smallFreeCount.set(this.#frees);
    raw.largeAllocCount = this.#largeAllocs;
    raw.largeAllocBytes = this.#largeAllocBytes;
    raw.largeFreeCount = this.#largeFrees;
    raw.largeFreeBytes = this.#largeFreeBytes;
    raw.tinyAllocs = this.#tiny;
    raw.stackInuse = this.#stacks;
    raw.mspanInuse = 160 * Math.floor(this.#mspanSys / 320);
    raw.mspanSys = this.#mspanSys;
    raw.mcacheInuse = 2 * 2296;
    raw.mcacheSys = 16072;
    raw.buckHashSys = this.#buckets;
    raw.gcSys = 3 * MIB;
    raw.gcWorkBufInuse = (this.#numGC % 4) * 32768;
    raw.otherSys = MIB;
    raw.nextGC = this.#nextGC;
    raw.numGC = this.#numGC;
    raw.numForcedGC = this.#forcedGC;
    raw.pauseTotalNs = this.#pauseTotal;
    raw.gcCPUFraction = this.#fraction;
    raw.pauseNs.set(this.#pauseNs);
    raw.pauseEnd.set(this.#pauseEnd);
  }
}

/** A model that makes the same choices for the same seed. */
export function modelSource(seed: number): ModelSource {
  return new ModelHeap(seed);
}

/** A MetricsSource that knows every figure. Each figure has a different value. */
export function modelMetrics(seed: number): MetricsSource & { gogc: number } {
  const random = generator(seed);
  const histogram = (): TimeHistogram => {
    const h = new TimeHistogram();
    for (let i = 0; i < 100; i++) h.record(Math.floor(1e9 ** random()));
    return h;
  };
  const figures = {
    schedLatencies: histogram(),
    stoppingGC: histogram(),
    stoppingOther: histogram(),
    pausesGC: histogram(),
    pausesOther: histogram(),
  };
  const source = {
    gogc: 100,
    fill(raw: RawMetrics): void {
      let n = 1;
      for (const key of Object.keys(raw) as (keyof RawMetrics)[]) {
        if (typeof raw[key] === "number") (raw as unknown as Record<string, number>)[key] = n++;
      }
      Object.assign(raw, figures, {
        gogc: source.gogc,
        memoryLimit: Number.POSITIVE_INFINITY,
        cpuTotal: 1000,
      });
    },
  };
  return source;
}
