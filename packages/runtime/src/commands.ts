/**
 * Questions of one thread to all others while the world is stopped: what their goroutines are, what their profiles
 * hold. Each thread answers with a value that JSON can carry. The world is stopped, so the answer lies in linear
 * memory, in pages that the asking thread frees.
 *
 *     asking thread   stops the world    command(number, arg)                    reads, frees    starts the world
 *     other thread                       answers: pages -> CALLS.reply
 *
 *     REPLY    0  bytes    4  the text, in UTF-8
 */
import type { Allocator } from "@gort/allocator/internal";
import type { Addr } from "@gort/memory";
import type { PortableStacks } from "@gort/profiling/internal";
import { dumpHere, threadFigures } from "@gort/scheduler/internal";
import type { Threads } from "@gort/threads";
import type { MainCPUProfile } from "./cpu-profile.ts";
import { loadSettings, type SettingsParts, storeSettings } from "./process-settings.ts";
import type { PortableStarts } from "./profiles.ts";
import type { SharedBlock } from "./shared-block.ts";
import type { WorldStops } from "./stops.ts";

const PAGE_SIZE = 8192;

/** Commands with lower numbers are the collector's. */
export const FIRST_COMMAND = 16;

export const COMMAND = {
  /** Dumps of goroutines; arg 1: also the runtime's own. */
  dump: 16,
  /** Figures of the thread for schedtrace; arg 1: with goroutines. */
  figures: 17,
  /** The settings of the process have changed. */
  settings: 18,
  /** Another thread is going to read the profiles. */
  readProfiles: 19,
  /** Stacks of goroutines. */
  goroutines: 20,
  /** Stacks that have started threads. */
  starts: 21,
  /** M 0 takes a CPU profile for a worker; arg: samples a second. */
  startCPUProfile: 22,
  /** M 0 ends it; arg: the M that gets it. */
  stopCPUProfile: 23,
  /** M 0 returns all free pages to the operating system for a worker. The answer is their bytes. */
  freeOSMemory: 24,
} as const;

/** A thread's part in the profiles of all threads. */
export interface ThreadProfiles {
  /** In a stopped world: brings this thread's buckets up to date, for readers on other threads. */
  settle(): void;
  /** The stacks of this thread's goroutines. */
  goroutines(): PortableStacks;
  /** The stacks of this thread that have started threads. */
  starts(): PortableStarts;
  /** M 0: takes CPU profiles for workers. Null on a worker. */
  readonly cpu: MainCPUProfile | null;
}

export interface CommandParts extends SettingsParts {
  readonly profiles: ThreadProfiles;
  readonly threads: Threads;
  readonly block: SharedBlock;
  readonly allocator: Allocator;
  readonly stops: WorldStops;
}

/** Answers, by number of the command. Functions of this kind must not block and not throw. */
type Answers = Readonly<Record<number, (arg: number) => unknown>>;

export class Commands {
  readonly #parts: CommandParts;
  readonly #answers: Answers;

  constructor(parts: CommandParts) {
    const { scheduler, allocator, block, profiles } = parts;
    this.#parts = parts;
    this.#answers = {
      [COMMAND.dump]: (all) => dumpHere(scheduler, null, all === 1),
      [COMMAND.figures]: (detail) => threadFigures(scheduler, detail === 1),
      [COMMAND.settings]: () => loadSettings(allocator.mem, block.settings, parts),
      [COMMAND.readProfiles]: () => profiles.settle(),
      [COMMAND.goroutines]: () => profiles.goroutines(),
      [COMMAND.starts]: () => profiles.starts(),
      [COMMAND.startCPUProfile]: (hz) => profiles.cpu?.start(hz),
      [COMMAND.stopCPUProfile]: (m) => profiles.cpu?.stop(m),
      [COMMAND.freeOSMemory]: () => (profiles.cpu === null ? undefined : allocator.freeOSMemory()),
    };
  }

  /** Runs `f` in a stopped world. */
  stopped<T>(reason: string, f: () => T): T {
    const { stops } = this.#parts;
    if (stops.stopped) return f();
    stops.stopTheWorld(reason);
    try {
      return f();
    } finally {
      stops.startTheWorld();
    }
  }

  /** The answers of all other threads. */
  ask<T>(command: number, arg: number): T[] {
    return this.stopped("command", () => {
      const { threads, block } = this.#parts;
      threads.command(command, arg);
      const replies: T[] = [];
      block.takeReplies((reply) => replies.push(this.#read(reply) as T));
      return replies;
    });
  }

  /** Runs `read`, which reads the profiles of all threads. */
  readProfiles<T>(read: () => T): T {
    return this.stopped("profile", () => {
      const { threads, profiles } = this.#parts;
      profiles.settle();
      threads.command(COMMAND.readProfiles, 0);
      return read();
    });
  }

  /** Runs `change`, which changes a setting on this thread, and gives the settings to all other threads. */
  changeSettings<T>(change: () => T): T {
    return this.stopped("change of settings", () => {
      const result = change();
      const { allocator, block, threads } = this.#parts;
      storeSettings(allocator.mem, block.settings, this.#parts);
      threads.command(COMMAND.settings, 0);
      return result;
    });
  }

  #read(reply: number): unknown {
    const { allocator } = this.#parts;
    const { u8, u32 } = allocator.mem;
    // A copy: TextDecoder does not read shared memory everywhere.
    const text = new TextDecoder().decode(u8.slice(reply + 4, reply + 4 + u32[reply >>> 2]));
    allocator.freeManual(reply as Addr);
    return JSON.parse(text);
  }

  /** On a thread that is asked. */
  answer(command: number, arg: number): void {
    const answer = this.#answers[command](arg);
    if (answer === undefined) return;
    const { threads, block, allocator } = this.#parts;
    const text = new TextEncoder().encode(JSON.stringify(answer));
    const reply = allocator.allocManual(Math.ceil((text.length + 4) / PAGE_SIZE));
    const { u8, u32 } = allocator.mem;
    u32[reply >>> 2] = text.length;
    u8.set(text, reply + 4);
    block.setReply(threads.m, reply);
  }
}
