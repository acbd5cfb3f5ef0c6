/**
 * A named profile: what `lookup` finds and `newProfile` makes, Go's runtime/pprof.Profile.
 */

import { wrongNumber } from "@gort/base";
import { Profile } from "pprof-format";
import { decodeMessage } from "./pprof/decode.ts";
import { encodeMessage } from "./pprof/encode.ts";
import { deltaProfile } from "./pprof/ops.ts";
import { gzip, type Sink, writeAll, writeFileAtomically } from "./writer.ts";

/** The content of a profile, for `NamedProfile`. */
export interface ProfileSource {
  readonly name: string;
  /** How many entries the profile has now. */
  count(): number;
  /** The profile as pprof, not compressed. */
  toBytes(): Uint8Array;
  /** The profile as Go's text, for debug 1 and more. */
  toText(debug: number): string;
  /** Called before one of the above, by callers that can wait. */
  prepare?(): Promise<void>;
}

/** A profile that can be written. */
export class NamedProfile {
  constructor(protected readonly source: ProfileSource) {}

  /** The profile's name, as in `lookup`. */
  name(): string {
    return this.source.name;
  }

  /** How many entries (stacks with a value) it has now. */
  count(): number {
    return this.source.count();
  }

  /** The profile as Go prints it for `debug` 1 or 2. */
  toText(debug = 1): string {
    return this.source.toText(debug);
  }

  /** The profile as an object of pprof-format. */
  toPprof(): Profile {
    return Profile.decode(this.source.toBytes());
  }

  /**
   * The bytes of a profile: with `debug` 0 gzipped pprof, else text as Go prints it. 2 differs from 1 for goroutines
   * only: they are printed as a panic prints them.
   */
  async encode(debug = 0): Promise<Uint8Array> {
    if (!Number.isInteger(debug) || debug < 0) {
      throw wrongNumber("profiling", debug, "debug must be 0, 1 or 2");
    }
    if (this.source.prepare !== undefined) await this.source.prepare();
    if (debug > 0) return new TextEncoder().encode(this.source.toText(debug));
    return gzip(this.source.toBytes());
  }

  /**
   * Writes the profile to a Node stream, a web stream or a function. The first byte is written after the whole
   * profile is ready. The sink is not closed. Rejects with the sink's error if it fails.
   */
  async writeTo(sink: Sink, debug = 0): Promise<void> {
    await writeAll(sink, await this.encode(debug));
  }

  /**
   * Waits, and returns the gzipped change of the profile in that time: the answer of Go's `?seconds=`. If the signal is
   * aborted meanwhile, it rejects with the signal's reason.
   */
  async encodeDelta(seconds: number, signal?: AbortSignal): Promise<Uint8Array> {
    if (!(seconds > 0) || !Number.isFinite(seconds)) {
      throw wrongNumber("profiling", seconds, "seconds must be a positive number");
    }
    // No await without a `prepare`: then the time begins with the call.
    if (this.source.prepare !== undefined) await this.source.prepare();
    const before = decodeMessage(this.source.toBytes());
    await wait(seconds * 1000, signal);
    await this.source.prepare?.();
    return gzip(encodeMessage(deltaProfile(before, decodeMessage(this.source.toBytes()))));
  }

  /**
   * Writes the profile as a file. If this fails (a full disk), an existing file of that name stays as it was, and no
   * incomplete file is left.
   */
  async writeFile(path: string, debug = 0): Promise<void> {
    await writeFileAtomically(path, await this.encode(debug));
  }
}

function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const aborted = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

/** The profiler, as `CustomProfile` needs it. */
export interface CustomProfileHost {
  /** The stack above the function `above`, as frame numbers that the caller may keep. */
  // biome-ignore lint/complexity/noBannedTypes: V8 takes any function as the frame to cut above.
  capture(skip: number, above: Function): Uint32Array;
  /** Frames kept of a stack, at most. */
  readonly depth: number;
  /** The frame `runtime/pprof.(*Profile).Add`. */
  readonly addFrame: number;
}

/**
 * A user's own profile: the stacks at which values were added that are not removed yet, such as open files or
 * connections.
 */
export class CustomProfile extends NamedProfile {
  private readonly entries: Map<unknown, Uint32Array>;

  /** @internal */
  constructor(
    private readonly host: CustomProfileHost,
    source: (entries: ReadonlyMap<unknown, Uint32Array>) => ProfileSource,
  ) {
    const entries = new Map<unknown, Uint32Array>();
    super(source(entries));
    this.entries = entries;
  }

  /**
   * Adds the present stack under `value`, which must not be in the profile. With `skip` 0 the stack begins with the
   * call of `add`, with 1 at the function that calls `add`.
   */
  add(value: unknown, skip = 0): void {
    if (!Number.isInteger(skip)) throw wrongNumber("profiling", skip, "skip must be an integer");
    if (this.entries.has(value)) throw new Error("pprof: Profile.Add of duplicate value");
    const { host } = this;
    const above = host.capture(Math.max(0, skip - 1), CustomProfile.prototype.add);
    let stack = above;
    if (skip <= 0) {
      // The frame of `add` counts as one of the frames that are kept.
      stack = new Uint32Array(Math.min(above.length + 1, host.depth));
      stack[0] = host.addFrame;
      stack.set(above.subarray(0, stack.length - 1), 1);
    }
    this.entries.set(value, stack);
  }

  /** Removes the stack of `value`. A value that is not in the profile is no error. */
  remove(value: unknown): void {
    this.entries.delete(value);
  }
}
