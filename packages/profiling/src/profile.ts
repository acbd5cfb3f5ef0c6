/**
 * A named profile: what `lookup` finds and `newProfile` makes, Go's runtime/pprof.Profile.
 */
import type { Profile as PprofProfile } from "pprof-format";
import { gzip, type Sink, writeAll, writeFileAtomically } from "./writer.ts";

/** What a profile consists of, for the class below. */
export interface ProfileSource {
  readonly name: string;
  /** How many entries the profile has now. */
  count(): number;
  /** The profile as pprof. */
  toPprof(): PprofProfile;
  /** The profile as Go's text, for debug 1 and more. */
  toText(debug: number): string;
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

  /** The profile as an object of pprof-format, uncompressed. */
  toPprof(): PprofProfile {
    return this.source.toPprof();
  }

  /**
   * The bytes of a profile: with `debug` 0 gzipped pprof, else text as Go prints it (2 differs from 1 for
   * goroutines, which it prints as a panic would).
   */
  async encode(debug = 0): Promise<Uint8Array> {
    if (!Number.isInteger(debug) || debug < 0) {
      throw new RangeError(`profiling: debug must be 0, 1 or 2 (got ${String(debug)})`);
    }
    if (debug > 0) return new TextEncoder().encode(this.source.toText(debug));
    return gzip(this.source.toPprof().encode());
  }

  /**
   * Writes the profile to a Node stream, a web stream or a function. Nothing is written before all of it is ready;
   * what is written to is not closed. Rejects with the sink's error when it fails.
   */
  async writeTo(sink: Sink, debug = 0): Promise<void> {
    await writeAll(sink, await this.encode(debug));
  }

  /** Writes the profile as a file; when this fails (a full disk), nothing is left under the file's name. */
  async writeFile(path: string, debug = 0): Promise<void> {
    await writeFileAtomically(path, await this.encode(debug));
  }
}
