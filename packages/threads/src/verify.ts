/** The walker of testing.ts: it checks the invariants of a memory's threads. */
import type { LinearMemory } from "@gort/memory";
import { ROOT_THREADS } from "@gort/memory/internal";
import { M_DEAD, M_FREE, M_STARTING, MREC_AT, PREC_AT, RING, SCHED_AT } from "./layout.ts";
import { NODE_NEXT } from "./runtime2.ts";

/** What the walker has found. */
export interface ThreadsSummary {
  ms: number;
  idlePs: number;
  waitingMs: number;
  /** All tasks in queues, in no order. */
  tasks: number[];
}

class Walker {
  private readonly u32: Uint32Array;
  private readonly sched: number;
  private readonly tasks: number[] = [];

  constructor(mem: LinearMemory) {
    this.u32 = mem.u32;
    this.sched = mem.root(ROOT_THREADS);
    this.must(this.sched !== 0, "the memory has no threads");
  }

  private must(ok: boolean, text: string): void {
    if (!ok) throw new Error(`verifyThreads: ${text}`);
  }
  private get(field: keyof typeof SCHED_AT, k = 0): number {
    return this.u32[(this.sched + SCHED_AT[field] + 4 * k) >>> 2];
  }
  private m(m: number, field: keyof typeof MREC_AT): number {
    return this.u32[(this.get("ms", m) + MREC_AT[field]) >>> 2];
  }
  private bit(field: "idlePs" | "idleMs", k: number): boolean {
    return (this.get(field, k >>> 5) & (1 << (k & 31))) !== 0;
  }

  private task(task: number, where: string): void {
    this.must(task !== 0 && task % 8 === 0, `${where} holds ${task}`);
    this.tasks.push(task);
  }

  walk(): ThreadsSummary {
    const waiting = this.walkFifo();
    this.walkMs(waiting);
    this.walkPs();
    this.walkGlobal();
    this.must(
      new Set(this.tasks).size === this.tasks.length,
      `a task is in two places: ${this.tasks.join(", ")}`,
    );
    const npidle = this.get("npidle");
    this.must(
      npidle === 0 || waiting.length === 0,
      `${npidle} Ps are idle, but M ${waiting.join(", ")} waits`,
    );
    return { ms: this.get("mcount"), idlePs: npidle, waitingMs: waiting.length, tasks: this.tasks };
  }

  /** Indices of the Ms in the FIFO. */
  private walkFifo(): number[] {
    const ms: number[] = [];
    for (let m = this.get("pwaitHead"); m !== 0; m = this.m(m - 1, "pwaitNext")) {
      this.must(!ms.includes(m - 1), `M ${m - 1} is in the FIFO twice`);
      ms.push(m - 1);
    }
    this.must(ms.length === this.get("npwait"), `npwait ${this.get("npwait")}, but ${ms.length} Ms wait`);
    this.must(this.get("pwaitTail") === (ms.at(-1) ?? -1) + 1, `pwaitTail ${this.get("pwaitTail")}`);
    for (const m of ms) this.must(this.m(m, "p") === 0, `M ${m} waits for a P and has one`);
    return ms;
  }

  private walkMs(waiting: number[]): void {
    const states = Array.from({ length: this.get("nms") }, (_, m) => this.m(m, "state"));
    const live = states.filter((s) => s !== M_FREE && s !== M_DEAD).length;
    this.must(live === this.get("mcount"), `mcount ${this.get("mcount")}, but ${live} Ms live`);
    const starting = states.filter((s) => s === M_STARTING).length;
    this.must(
      starting === this.get("nstarting"),
      `nstarting ${this.get("nstarting")}, but ${starting} Ms start`,
    );
    states.forEach((state, m) => {
      const lives = state !== M_FREE && state !== M_DEAD;
      this.must(lives || state === M_DEAD || this.m(m, "p") === 0, `the free M ${m} has a P`);
      this.must(this.m(m, "loan") === 0 || this.m(m, "p") === 0, `M ${m} has a P and a loan`);
      this.must(this.m(m, "loan") === 0 || !waiting.includes(m), `M ${m} waits for a P and has a loan`);
      if (this.bit("idleMs", m)) {
        this.must(lives && !waiting.includes(m), `M ${m} is among the idle Ms, in state ${state}`);
      }
    });
  }

  private walkPs(): void {
    const n = this.get("gomaxprocs");
    let idle = 0;
    for (let id = 0; id < this.get("nps"); id++) {
      const p = this.get("ps", id);
      const word = (field: number): number => this.u32[(p + field) >>> 2];
      const holder = word(PREC_AT.m) - 1;
      const isIdle = this.bit("idlePs", id);
      if (isIdle) idle++;
      this.must(word(PREC_AT.id) === id, `P ${id} says that it is P ${word(PREC_AT.id)}`);
      this.must(!isIdle || (holder < 0 && id < n), `the idle P ${id} is held by M ${holder}`);
      this.must(isIdle || id < n === holder >= 0, `P ${id} of ${n} is neither idle nor held: M ${holder}`);
      if (holder >= 0) this.must(this.m(holder, "p") === p, `P ${id} says M ${holder}, which has another P`);
      const [head, tail] = [word(PREC_AT.head), word(PREC_AT.tail)];
      const size = (tail - head) | 0;
      this.must(size >= 0 && size <= RING, `P ${id} has ${size} tasks: head ${head}, tail ${tail}`);
      this.must(id < n || (size === 0 && word(PREC_AT.runnext) === 0), `P ${id} is out of use and has tasks`);
      for (let k = 0; k < size; k++) {
        this.task(word(PREC_AT.ring + 4 * ((head + k) % RING)), `slot ${k} of P ${id}`);
      }
      if (word(PREC_AT.runnext) !== 0) this.task(word(PREC_AT.runnext), `runnext of P ${id}`);
    }
    this.must(idle === this.get("npidle"), `npidle ${this.get("npidle")}, but ${idle} Ps are idle`);
    for (let m = 0; m < this.get("nms"); m++) {
      const p = this.m(m, "p");
      if (p !== 0)
        this.must(this.u32[(p + PREC_AT.m) >>> 2] === m + 1, `M ${m} has a P that M ${m} does not hold`);
    }
  }

  private walkGlobal(): void {
    let last = 0;
    let size = 0;
    for (let t = this.get("runqHead"); t !== 0; t = this.u32[(t + NODE_NEXT) >>> 2]) {
      this.task(t, "the global queue");
      this.must(++size <= this.get("runqsize"), `runqsize ${this.get("runqsize")}, but the queue is longer`);
      last = t;
    }
    this.must(size === this.get("runqsize"), `runqsize ${this.get("runqsize")}, but the queue has ${size}`);
    this.must(this.get("runqTail") === last, `runqTail ${this.get("runqTail")}, but ${last} is the last`);
  }
}

/**
 * Checks the invariants of a memory's threads, and throws with the numbers if one is broken. No thread changes the
 * state meanwhile: the world is stopped, or all Ms are at rest.
 *
 *     each P below gomaxprocs is either idle or held by one M; others have no tasks
 *     npidle = Ps with their bit in idlePs;  npidle > 0 => no M waits for a P
 *     the FIFO has npwait Ms, none of which has a P or a loan; an M with a P has no loan
 *     0 <= tail - head <= 256 in each ring; the global queue has runqsize tasks; no task is in two places
 *     mcount = Ms that are neither free nor dead
 *     an M among the idle Ms does not wait for a P
 */
export function verifyThreads(mem: LinearMemory): ThreadsSummary {
  return new Walker(mem).walk();
}
