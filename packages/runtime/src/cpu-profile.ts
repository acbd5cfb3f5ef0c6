/**
 * CPU profiles that code on a worker starts. In Node, the main thread's inspector reaches all threads, and that of a
 * worker reaches its own only. So M 0 takes the profile of all threads:
 *
 *     worker   startCPUProfile    asks in a stop of the world      M 0 begins, or answers why it cannot
 *     worker   stopCPUProfile     asks in a stop of the world      M 0 ends the profile, and posts it when it is there
 */
import type { Profiler, RemoteCPUProfile } from "@gort/profiling";
import { COMMAND } from "./commands.ts";
import type { Machines } from "./machines.ts";
import { describeError, errorOf } from "./remote-error.ts";
import type { MainMessage } from "./worker-messages.ts";

/** Any time that is longer than the end of a profile takes, in ms. */
const LONG_MS = 60_000;

/** On a worker. */
export class WorkerCPUProfile implements RemoteCPUProfile {
  readonly #of: { readonly machines: Machines };
  readonly #m: number;
  #done: (message: MainMessage) => void = () => {};

  constructor(of: { readonly machines: Machines }, m: number) {
    this.#of = of;
    this.#m = m;
  }

  start(hz: number): void {
    const [fault] = this.#of.machines.commands!.ask<string>(COMMAND.startCPUProfile, hz);
    if (fault !== "") throw new Error(fault);
  }

  stop(): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      // Holds the event loop: without a handle, the goroutines that wait for the profile would count as deadlocked.
      const handle = setInterval(() => {}, LONG_MS);
      this.#done = (message) => {
        clearInterval(handle);
        if ("cpuProfile" in message) resolve(message.cpuProfile);
        else reject(errorOf(message.cpuFault));
      };
      this.#of.machines.commands!.ask(COMMAND.stopCPUProfile, this.#m);
    });
  }

  receive(message: MainMessage): void {
    this.#done(message);
  }
}

/** On M 0: the profile that a worker has started. */
export class MainCPUProfile {
  readonly #of: { readonly profiler: Profiler; readonly machines: Machines };
  #pieces: Uint8Array[] = [];

  constructor(of: { readonly profiler: Profiler; readonly machines: Machines }) {
    this.#of = of;
  }

  /** Returns why it cannot begin, or "". */
  start(hz: number): string {
    const pieces: Uint8Array[] = [];
    try {
      this.#of.profiler.cpu.start((piece) => void pieces.push(piece), hz);
    } catch (e) {
      return e instanceof Error ? e.message : String(e);
    }
    this.#pieces = pieces;
    return "";
  }

  /** Ends the profile, and posts it to M m. */
  stop(m: number): void {
    const { profiler, machines } = this.#of;
    void profiler.cpu.stop().then(
      () => machines.postTo(m, { cpuProfile: concat(this.#pieces) }),
      (e: unknown) => machines.postTo(m, { cpuFault: describeError(e) }),
    );
  }
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((n, piece) => n + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
