/**
 * Stops of the world: one M stops all others at their safepoints.
 *
 *     stopper   stopper = its number     signals each running M         waits until no M is in state RUNNING
 *     M         at its next poll: onStop, state = STOPPED               blocks until stopper is 0
 *     start     stopper = 0              wakes the blocked Ms
 *     M         state = RUNNING          looks at stopper again; if it is not 0: state = STOPPED, and so on
 *
 * 1. One M at a time stops the world: it takes the word `stopper` by CAS. An M that comes second is at a safepoint. So
 *    it acknowledges the stop of the first, and tries again after it.
 * 2. An M resumes by itself, after the start. If the next stop begins before that, the M still counts as stopped. The
 *    stopper stores `stopper` and loads the state; the M stores the state and loads `stopper`. So at least one of them
 *    sees the other (Dekker).
 * 3. An M in `block` is in state STOPPED all the time, so stops need not wait for it. Before it looks at anything it
 *    becomes RUNNING as in 2.
 * 4. A starting M holds no pointers, and a stop passes it over. When it attaches, it resumes as in 2.
 * 5. Commands: the stopper writes the command into SCHED, then 1 into the word `command` of each M that it has found
 *    attached. The M runs it and stores 0. An M that attaches later has no part in it.
 *
 * A stopped M blocks its thread, so it runs no code of the host. An M that does not come to a safepoint is named after
 * a second. An M whose thread has ended without leaving is a FatalError for the stopper; so is a stopper that has
 * ended, for the Ms that it has stopped. A stop fails once for each M that has ended: it makes the M M_GONE.
 */
import { FatalError } from "@gort/base";
import { M_GONE, M_RUNNING, M_STOPPED, MREC_AT, SCHED_AT } from "./layout.ts";
import type { Parking } from "./park.ts";
import type { SharedState } from "./shared-state.ts";

const STATE = MREC_AT.state;
const COMMAND = MREC_AT.command;

/** Looks at a word before the thread sleeps, if the host names no number: some microseconds. */
const SPINS = 500;
/** Time between two checks whether the other thread still lives, in ms. */
const CHECK_MS = 50;
/** When an M that does not stop is named, and how often again, in ms. */
const FIRST_REPORT_MS = 1000;
const NEXT_REPORT_MS = 10_000;
/** Time between two checks of a stopped M whether the stopper still lives, in ms. */
const STOPPER_CHECK_MS = 1000;

/** What the thread does at a stop: see Threads. */
export interface StopHooks {
  onStop(): void;
  onCommand(command: number, arg: number): void;
}

/** What a hook has thrown. */
interface Thrown {
  readonly error: unknown;
}

export class Stops {
  private readonly s: SharedState;
  private readonly parking: Parking;
  private readonly hooks: StopHooks;
  private readonly stopper: number;
  /** Stops of this M that have not ended: only the first and the last do something. */
  private depth = 0;
  private reason = "";

  constructor(s: SharedState, parking: Parking, hooks: StopHooks) {
    this.s = s;
    this.parking = parking;
    this.hooks = hooks;
    this.stopper = s.sched + SCHED_AT.stopper;
  }

  /** Whether another M wants this one to stop. */
  get requested(): boolean {
    const stopper = this.s.kernel.load(this.stopper);
    return stopper !== 0 && stopper !== this.s.m + 1;
  }

  /** Whether this M has stopped the world. */
  get stopping(): boolean {
    return this.depth > 0;
  }

  stop(reason: string): void {
    if (this.depth++ > 0) return;
    const { s } = this;
    this.reason = reason;
    while (s.kernel.cas(this.stopper, 0, s.m + 1) !== 0) {
      const thrown = this.pause(false);
      if (thrown === null) continue;
      // This M has not stopped the world: the next stop begins anew.
      this.depth--;
      throw thrown.error;
    }
    for (let m = 0; m < s.nms; m++) {
      const rec = s.mrec(m);
      if (m !== s.m && s.kernel.load(rec + STATE) === M_RUNNING) this.parking.signal(rec);
    }
    for (let m = 0; m < s.nms; m++) if (m !== s.m) this.waitWhile(m, STATE, M_RUNNING);
  }

  start(): void {
    if (this.depth === 0 || --this.depth > 0) return;
    const { s } = this;
    s.kernel.store(this.stopper, 0);
    for (let m = 0; m < s.nms; m++) if (m !== s.m) this.parking.unparkSync(s.mrec(m));
  }

  command(command: number, arg: number): void {
    const { s } = this;
    const { kernel } = s;
    kernel.store(s.sched + SCHED_AT.command, command);
    kernel.store(s.sched + SCHED_AT.arg, arg);
    for (let m = 0; m < s.nms; m++) {
      const rec = s.mrec(m);
      const state = kernel.load(rec + STATE);
      if (m === s.m || (state !== M_RUNNING && state !== M_STOPPED)) continue;
      kernel.store(rec + COMMAND, 1);
      this.parking.unparkSync(rec);
    }
    for (let m = 0; m < s.nms; m++) if (m !== s.m) this.waitWhile(m, COMMAND, 1);
  }

  /** Waits while the word of M m holds `value`. It spins first. */
  private waitWhile(m: number, word: number, value: number): void {
    const { s } = this;
    const addr = s.mrec(m) + word;
    for (let i = s.host.spins ?? SPINS; i > 0; i--) if (s.kernel.load(addr) !== value) return;
    const start = s.host.now();
    let report = FIRST_REPORT_MS;
    while (s.kernel.load(addr) === value) {
      s.wait(addr, value, CHECK_MS);
      if (s.kernel.load(addr) !== value) return;
      const waited = s.host.now() - start;
      if (waited >= report) {
        s.host.warn(
          `threads: ${this.nameOf(m)} has not stopped for ${this.reason} in ${Math.floor(waited)} ms`,
        );
        report += report === FIRST_REPORT_MS ? NEXT_REPORT_MS - FIRST_REPORT_MS : NEXT_REPORT_MS;
      }
      this.mustLive(m, addr, value);
    }
  }

  /** "M 3 (goroutine 17)". */
  private nameOf(m: number): string {
    const goid = this.s.mem.f64[(this.s.mrec(m) + MREC_AT.goid) >>> 3];
    return `M ${m}${goid === 0 ? "" : ` (goroutine ${goid})`}`;
  }

  /** Throws if the thread of M m has ended, while the word at addr still holds `value`. */
  private mustLive(m: number, addr: number, value: number): void {
    const { s } = this;
    const rec = s.mrec(m);
    if (!s.mem.threadGone(s.u32[(rec + MREC_AT.thread) >>> 2]) || s.kernel.load(addr) !== value) return;
    const name = this.nameOf(m);
    // The report of this error stops the world again.
    this.gone(rec);
    // The others must not wait for this thread, which throws.
    this.depth = 1;
    this.start();
    throw new FatalError("fatal", "ERR_GORT_THREAD_ENDED", `threads: ${name} has ended without leaving`);
  }

  /**
   * This M counts as stopped until the world runs. `block`: and until a thread calls this one, or wakes it for any
   * reason. Throws what `onStop` or a command has thrown, once the world runs: an M that works must not count as
   * stopped, and the stopper must not wait for one that fails.
   */
  stopped(block: boolean): void {
    const thrown = this.pause(block);
    if (thrown !== null) throw thrown.error;
  }

  /** As `stopped`. Returns the first error; null: none. */
  private pause(block: boolean): Thrown | null {
    const { parking } = this;
    const { asleep } = parking;
    parking.unparkSelf();
    let thrown = this.prepare();
    do {
      this.setState(M_STOPPED);
      thrown = this.waitToRun(block, thrown);
      this.setState(M_RUNNING);
    } while (this.requested);
    if (asleep) {
      parking.park();
      parking.arm();
    }
    return thrown;
  }

  /** See Threads.abandon. */
  abandon(): void {
    this.gone(this.s.rec);
    this.depth = Math.min(this.depth, 1);
    this.start();
  }

  /** Stops no longer wait for the M of the record. */
  private gone(rec: number): void {
    const { s } = this;
    for (const state of [M_RUNNING, M_STOPPED]) s.kernel.cas(rec + STATE, state, M_GONE);
    s.notify(rec + STATE);
  }

  /** A state in which stops pass this M over stays: it has abandoned its place, or others take it for dead. */
  private setState(state: typeof M_RUNNING | typeof M_STOPPED): void {
    const { kernel, rec } = this.s;
    const other = state === M_RUNNING ? M_STOPPED : M_RUNNING;
    const changed = kernel.cas(rec + STATE, other, state) === other;
    if (changed && state === M_STOPPED) this.s.notify(rec + STATE);
  }

  /** Returns what `onStop` has thrown; null: nothing. */
  private prepare(): Thrown | null {
    try {
      this.hooks.onStop();
      return null;
    } catch (error) {
      return { error };
    }
  }

  /** Returns the first error of a command; `before` is an earlier error. */
  private waitToRun(block: boolean, before: Thrown | null): Thrown | null {
    const { s, parking } = this;
    const { kernel, rec } = s;
    let thrown = before;
    for (let waited = false; ; ) {
      if (kernel.load(rec + COMMAND) !== 0) {
        const failed = this.runCommand();
        thrown ??= failed;
        // It may have made the condition of `block` true.
        waited = true;
      } else if (kernel.load(this.stopper) === 0 && (!block || waited || parking.called)) {
        return thrown;
      }
      this.spin();
      parking.beginSync();
      const mayWait = kernel.load(this.stopper) !== 0 || (block && !waited && !parking.called);
      if (mayWait && kernel.load(rec + COMMAND) === 0) {
        if (!parking.waitSync(STOPPER_CHECK_MS)) this.stopperMustLive();
        waited = true;
      }
      parking.endSync();
    }
  }

  /** Looks for the end of the stop, or for a command. Until it sleeps, the stopper need not wake it. */
  private spin(): void {
    const { kernel, rec, host } = this.s;
    for (let i = host.spins ?? SPINS; i > 0; i--) {
      if (kernel.load(this.stopper) === 0 || kernel.load(rec + COMMAND) !== 0) return;
    }
  }

  /** Returns what the command has thrown; null: nothing. */
  private runCommand(): Thrown | null {
    const { kernel, rec, sched, u32 } = this.s;
    let thrown: Thrown | null = null;
    try {
      this.hooks.onCommand(u32[(sched + SCHED_AT.command) >>> 2], u32[(sched + SCHED_AT.arg) >>> 2]);
    } catch (error) {
      thrown = { error };
    }
    kernel.store(rec + COMMAND, 0);
    this.s.notify(rec + COMMAND);
    return thrown;
  }

  private stopperMustLive(): void {
    const { s } = this;
    const stopper = s.kernel.load(this.stopper);
    if (stopper === 0) return;
    const thread = s.u32[(s.mrec(stopper - 1) + MREC_AT.thread) >>> 2];
    if (!s.mem.threadGone(thread) || s.kernel.load(this.stopper) !== stopper) return;
    throw new FatalError(
      "fatal",
      "ERR_GORT_THREAD_ENDED",
      `threads: ${this.nameOf(stopper - 1)} has ended while it had stopped the world`,
    );
  }
}
