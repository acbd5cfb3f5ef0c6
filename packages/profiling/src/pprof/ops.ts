/** Profiles made of profiles: merged, scaled, compared, filtered. No function changes its arguments. */
import type { PprofData, PprofLabel, PprofLocation, PprofMapping, PprofSample, ValueType } from "./model.ts";

const typeText = (t: ValueType): string => `${t.type}/${t.unit}`;

/**
 * The sum of profiles of one kind. Samples with equal stacks and labels are added up. The time is the earliest, and the
 * duration the sum. Throws if their sample types differ.
 */
export function mergeProfiles(profiles: readonly PprofData[]): PprofData {
  const first = profiles[0];
  if (first === undefined) throw new RangeError("pprof: nothing to merge");
  const types = first.sampleTypes.map(typeText).join(" ");
  for (const p of profiles) {
    const own = p.sampleTypes.map(typeText).join(" ");
    if (own !== types) throw new RangeError(`pprof: profiles of different kinds: ${types}, and ${own}`);
  }
  const canonical = new Canonical();
  const samples = new Map<string, PprofSample>();
  for (const p of profiles) {
    for (const s of p.samples) {
      const locations = s.locations.map((l) => canonical.location(l));
      const key = `${locations.map((l) => canonical.id(l)).join(",")}|${labelKey(s.labels)}`;
      const same = samples.get(key);
      if (same === undefined) samples.set(key, { locations, values: [...s.values], labels: s.labels });
      else for (let i = 0; i < s.values.length; i++) same.values[i] += s.values[i];
    }
  }
  const times = profiles.map((p) => p.timeNanos).filter((t) => t !== 0n);
  return {
    ...first,
    samples: [...samples.values()].filter((s) => s.values.some((v) => v !== 0)),
    mappings: canonical.mappings(profiles.find((p) => p.mappings.length > 0)?.mappings[0]),
    period: Math.max(...profiles.map((p) => p.period)),
    timeNanos: times.sort((a, b) => (a < b ? -1 : 1))[0] ?? 0n,
    durationNanos: profiles.reduce((sum, p) => sum + p.durationNanos, 0n),
    comments: [...new Set(profiles.flatMap((p) => p.comments))],
  };
}

/** Replaces equal locations of several profiles by one object. */
class Canonical {
  private readonly locations = new Map<string, PprofLocation>();
  private readonly ids = new Map<PprofLocation, number>();
  private readonly known = new Map<PprofLocation, PprofLocation>();

  location(l: PprofLocation): PprofLocation {
    let one = this.known.get(l);
    if (one === undefined) {
      const lines = l.lines.map((x) => [
        x.function.name,
        x.function.systemName,
        x.function.file,
        x.line,
        x.column,
      ]);
      // With a build id, the address identifies the place, wherever the binary was loaded. Else the names identify
      // it, if there are any: addresses differ between runs.
      const offset = l.address - (l.mapping?.start ?? 0);
      const place = l.mapping?.buildId || lines.length === 0 ? [offset, lines] : lines;
      const key = JSON.stringify([l.mapping?.file, l.mapping?.buildId, l.isFolded, place]);
      one = this.locations.get(key);
      if (one === undefined) {
        one = l;
        this.locations.set(key, l);
        this.ids.set(l, this.ids.size);
      }
      this.known.set(l, one);
    }
    return one;
  }

  id(l: PprofLocation): number {
    return this.ids.get(l)!;
  }

  /** The mappings in use. `main` comes first: the first mapping of a file is the main binary. */
  mappings(main: PprofMapping | undefined): PprofMapping[] {
    const all = new Set<PprofMapping>(main === undefined ? [] : [main]);
    for (const l of this.locations.values()) if (l.mapping !== null) all.add(l.mapping);
    return [...all];
  }
}

function labelKey(labels: readonly PprofLabel[]): string {
  return labels.length === 0
    ? ""
    : labels
        .map((l) => JSON.stringify([l.key, l.str, l.num, l.unit]))
        .sort()
        .join();
}

/** All values times `ratio`, rounded: one number, or one for each sample type. */
export function scaleProfile(profile: PprofData, ratio: number | readonly number[]): PprofData {
  const ratios = typeof ratio === "number" ? profile.sampleTypes.map(() => ratio) : ratio;
  if (ratios.length !== profile.sampleTypes.length || !ratios.every(Number.isFinite)) {
    throw new RangeError(
      `pprof: scale needs a number, or ${profile.sampleTypes.length} of them (got ${JSON.stringify(ratio)})`,
    );
  }
  return {
    ...profile,
    samples: Array.from(profile.samples, (s) => ({
      ...s,
      values: s.values.map((v, i) => Math.round(v * ratios[i]) + 0),
    })),
  };
}

/** `profile` minus `base`, as `go tool pprof -base` computes it. Values may be negative. */
export function diffProfiles(profile: PprofData, base: PprofData): PprofData {
  const diff = mergeProfiles([profile, scaleProfile(base, -1)]);
  return diff;
}

/**
 * The change between two profiles of one process: the delta with which Go answers `?seconds=`. Its time is that of the
 * later profile.
 */
export function deltaProfile(before: PprofData, after: PprofData): PprofData {
  const delta = diffProfiles(after, before);
  return { ...delta, timeNanos: after.timeNanos, durationNanos: after.timeNanos - before.timeNanos };
}

export interface ProfileFilter {
  /** Keep samples with a frame that matches. */
  focus?: RegExp;
  /** Drop samples with a frame that matches. */
  ignore?: RegExp;
  /** Remove frames that match from the stacks. */
  hide?: RegExp;
  /** Remove frames that do not match from the stacks. */
  show?: RegExp;
  /** Keep samples with a label `key:value` that matches; numbers are written with their unit. */
  tagFocus?: RegExp;
  /** Drop samples with a label that matches. */
  tagIgnore?: RegExp;
}

/** The samples and frames that a filter keeps. A frame matches by its function's name, its file or its binary. */
export function filterProfile(profile: PprofData, filter: ProfileFilter): PprofData {
  const { focus, ignore, hide, show, tagFocus, tagIgnore } = filter;
  const matches = (l: PprofLocation, x: PprofLocation["lines"][number] | undefined, re: RegExp) =>
    (x !== undefined && (test(re, x.function.name) || test(re, x.function.file))) ||
    (l.mapping !== null && test(re, l.mapping.file));
  const any = (s: PprofSample, re: RegExp) =>
    s.locations.some((l) =>
      l.lines.length === 0 ? matches(l, undefined, re) : l.lines.some((x) => matches(l, x, re)),
    );
  const tagged = (s: PprofSample, re: RegExp) =>
    s.labels.some((l) => test(re, `${l.key}:${l.str ?? `${l.num}${l.unit ?? ""}`}`));
  const trimmed = new Map<PprofLocation, PprofLocation | null>();
  const trim = (l: PprofLocation): PprofLocation | null => {
    let out = trimmed.get(l);
    if (out === undefined) {
      const keep = (x: PprofLocation["lines"][number] | undefined) =>
        (hide === undefined || !matches(l, x, hide)) && (show === undefined || matches(l, x, show));
      if (l.lines.length === 0) out = keep(undefined) ? l : null;
      else {
        const lines = l.lines.filter(keep);
        out = lines.length === l.lines.length ? l : lines.length === 0 ? null : { ...l, lines };
      }
      trimmed.set(l, out);
    }
    return out;
  };
  const samples: PprofSample[] = [];
  for (const s of profile.samples) {
    if (focus !== undefined && !any(s, focus)) continue;
    if (ignore !== undefined && any(s, ignore)) continue;
    if (tagFocus !== undefined && !tagged(s, tagFocus)) continue;
    if (tagIgnore !== undefined && tagged(s, tagIgnore)) continue;
    if (hide === undefined && show === undefined) samples.push(s);
    else {
      const locations = s.locations.map(trim).filter((l) => l !== null);
      if (locations.length > 0) samples.push({ ...s, locations });
    }
  }
  return { ...profile, samples };
}

function test(re: RegExp, text: string): boolean {
  // A global or sticky expression would continue at its last match.
  re.lastIndex = 0;
  return re.test(text);
}
