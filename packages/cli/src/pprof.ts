/**
 * `gort pprof`: shows a profile, from a file or from the address of a running program, as `go tool pprof` does.
 *
 * A fetch may take long: a CPU profile takes as long as the server measures. So the command shows the wait on standard
 * error, in place on a terminal and as one line elsewhere. Standard output has the report alone.
 */
import { createReadStream } from "node:fs";
import type { CommandLine, PprofOptions } from "./command-line.ts";
import { UsageError } from "./errors.ts";
import type { Io } from "./index.ts";

type Tools = typeof import("@gort/runtime/pprof-tools");
type Profile = Awaited<ReturnType<Tools["decodeProfile"]>>;

/** The largest answer that is read. No profile is larger. */
const MAX_BYTES = 1 << 30;

export async function showProfile(
  { source, diff, options }: CommandLine & { name: "pprof" },
  { stdout, stderr }: Io,
): Promise<void> {
  const tools = await import("@gort/runtime/pprof-tools");
  let profile = await load(tools, source, options, stderr);
  if (diff !== undefined) {
    const base = await load(tools, diff, options, stderr);
    try {
      profile = tools.diffProfiles(profile, base);
    } catch (e) {
      throw new UsageError(`cannot compare ${source} with ${diff}: ${messageOf(e).replace(/^pprof: /, "")}`);
    }
  }
  // Percentages are of the whole profile, also if the report shows only a part.
  const whole = profile;
  const { focus, ignore } = options;
  if (focus !== undefined || ignore !== undefined) {
    profile = tools.filterProfile(profile, {
      ...(focus === undefined ? {} : { focus }),
      ...(ignore === undefined ? {} : { ignore }),
    });
  }
  const sampleType = options.sampleIndex;
  const known = profile.sampleTypes.map((t) => t.type);
  if (sampleType !== undefined && !known.includes(sampleType)) {
    throw new UsageError(`${source} has no samples of ${sampleType}; it has ${known.join(", ")}`);
  }
  if (options.flame !== undefined) {
    const page = tools.flameGraphHTML(profile, {
      title: source,
      ...(sampleType === undefined ? {} : { sampleType }),
    });
    try {
      await tools.writeFileAtomically(options.flame, new TextEncoder().encode(page));
    } catch (e) {
      throw new UsageError(`cannot write ${options.flame}: ${messageOf(e)}`);
    }
    stderr(`gort: flame graph written to ${options.flame}\n`);
    return;
  }
  const print = { top: tools.topText, tree: tools.treeText, traces: tools.tracesText }[options.report];
  stdout(
    print(profile, {
      cum: options.cum,
      total: tools.profileTotal(whole, sampleType),
      activeFilters: [
        ...(focus === undefined ? [] : [`focus=${focus.source}`]),
        ...(ignore === undefined ? [] : [`ignore=${ignore.source}`]),
      ],
      ...(sampleType === undefined ? {} : { sampleType }),
      ...(options.nodeCount === undefined ? {} : { nodeCount: options.nodeCount }),
      ...(options.unit === undefined ? {} : { unit: options.unit }),
    }),
  );
}

async function load(
  tools: Tools,
  source: string,
  options: PprofOptions,
  stderr: Io["stderr"],
): Promise<Profile> {
  const bytes = /^https?:\/\//i.test(source)
    ? await fetchProfile(address(source, options.seconds), options.timeout, stderr)
    : await readProfile(source);
  try {
    return await tools.decodeProfile(bytes, { maxBytes: MAX_BYTES });
  } catch (e) {
    const other = otherFormat(bytes);
    if (other !== undefined) throw new UsageError(`cannot show ${source}: it is ${other}`);
    throw new UsageError(
      `${source} is no profile in pprof's format (${messageOf(e).replace(/^pprof: /, "")})`,
    );
  }
}

async function readProfile(file: string): Promise<Uint8Array> {
  try {
    // A stream with a bound, since the file may be a pipe or a device without an end.
    return await gather(createReadStream(file), MAX_BYTES, () => {
      throw new UsageError(`cannot open ${file}: more than ${MAX_BYTES} bytes`);
    });
  } catch (e) {
    if (e instanceof UsageError) throw e;
    const { code } = e as NodeJS.ErrnoException;
    const why =
      code === "ENOENT" ? "no such file" : code === "EISDIR" ? "it is a directory" : (code ?? messageOf(e));
    throw new UsageError(`cannot open ${file}: ${why}`);
  }
}

/** The URL to fetch. The address of a server without a path means its CPU profile, as in Go. */
function address(source: string, seconds: number | undefined): URL {
  let url: URL;
  try {
    url = new URL(source);
  } catch {
    throw new UsageError(`${JSON.stringify(source)} is no URL`);
  }
  if (url.pathname === "/") url.pathname = "/debug/pprof/profile";
  if (seconds !== undefined) url.searchParams.set("seconds", String(seconds));
  return url;
}

/** Seconds that the server measures for the answer: by default 30 for a CPU profile, as in Go. */
function measured({ pathname, searchParams }: URL): number {
  return Number(searchParams.get("seconds")) || (pathname.endsWith("/profile") ? 30 : 0);
}

async function fetchProfile(
  url: URL,
  timeout = measured(url) + 60,
  stderr: Io["stderr"],
): Promise<Uint8Array> {
  const progress = new Progress(url, stderr);
  // Not AbortSignal.timeout, whose timer does not keep the process alive.
  const late = new AbortController();
  // The longest delay of the host's timers.
  const timer = setTimeout(() => late.abort(), Math.min(timeout * 1000, 2 ** 31 - 1));
  try {
    const response = await fetch(url, {
      headers: { accept: "application/octet-stream, */*" },
      signal: late.signal,
    });
    if (!response.ok) {
      const [first = ""] = (await beginning(response)).trim().split("\n", 1);
      const why = first === "" ? "" : `: ${first.slice(0, 200)}`;
      throw new UsageError(
        `cannot fetch ${url}: the server answered ${`${response.status} ${response.statusText}`.trim()}${why}`,
      );
    }
    const total = Number(response.headers.get("content-length") ?? 0);
    return await gather(
      bodyOf(response),
      MAX_BYTES,
      () => {
        throw new UsageError(`cannot fetch ${url}: more than ${MAX_BYTES} bytes`);
      },
      (length) => progress.received(length, total),
    );
  } catch (e) {
    if (e instanceof UsageError) throw e;
    if (late.signal.aborted) {
      throw new UsageError(`cannot fetch ${url}: no complete answer within ${timeout} s (see --timeout)`);
    }
    const { cause } = e as { cause?: { code?: string; message?: string } };
    throw new UsageError(`cannot fetch ${url}: ${cause?.message || cause?.code || messageOf(e)}`);
  } finally {
    clearTimeout(timer);
    progress.end();
  }
}

type Parts = AsyncIterable<Uint8Array>;

async function* bodyOf(response: Response): AsyncGenerator<Uint8Array, void, undefined> {
  if (response.body !== null) yield* response.body as unknown as Parts;
}

/** Bytes that are read of an error answer. The message needs only its first line. */
const MAX_ERROR_BYTES = 4096;

/** The beginning of an answer's text. The rest is not read. */
async function beginning(response: Response): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const part of bodyOf(response)) {
    text += decoder.decode(part.subarray(0, MAX_ERROR_BYTES), { stream: true });
    if (text.length >= MAX_ERROR_BYTES) break;
  }
  return text;
}

/** All bytes of `parts` in one array. Calls `tooLong` if there are more than `most`. */
async function gather(
  parts: Parts,
  most: number,
  tooLong: () => never,
  received?: (length: number) => void,
): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  let length = 0;
  for await (const part of parts) {
    all.push(part);
    length += part.length;
    if (length > most) tooLong();
    received?.(length);
  }
  return Buffer.concat(all, length);
}

/** The progress of a fetch on standard error. */
class Progress {
  private readonly started = Date.now();
  private readonly terminal = process.stderr.isTTY === true;
  private readonly timer: NodeJS.Timeout | undefined;
  private text = "";
  private bytes = 0;
  private total = 0;

  constructor(
    url: URL,
    private readonly stderr: Io["stderr"],
  ) {
    stderr(`Fetching profile over HTTP from ${url}\n`);
    if (this.terminal) this.timer = setInterval(() => this.show(), 200);
  }

  received(bytes: number, total: number): void {
    this.bytes = bytes;
    this.total = total;
  }

  private show(): void {
    const kib = (n: number) => `${Math.ceil(n / 1024)} KiB`;
    const got =
      this.bytes === 0
        ? "waiting"
        : `${kib(this.bytes)}${this.total >= this.bytes ? ` of ${kib(this.total)}` : ""}`;
    const text = `${got}, ${Math.round((Date.now() - this.started) / 1000)} s`;
    this.stderr(`\r${text.padEnd(this.text.length)}`);
    this.text = text;
  }

  end(): void {
    clearInterval(this.timer);
    if (this.text !== "") this.stderr(`\r${" ".repeat(this.text.length)}\r`);
  }
}

/** The format of a file that is no profile, and what to do about it; undefined for an unknown format. */
function otherFormat(bytes: Uint8Array): string | undefined {
  const head = Buffer.from(bytes.subarray(0, 256)).toString("latin1");
  if (/^(?:[\w./]+ profile: |--- \w+:|goroutine \d+ \[)/.test(head)) {
    return "a profile as text; ask for it with debug=0";
  }
  const v8 = "open it in Chrome DevTools, or write the profile with @gort/runtime/pprof:";
  if (/^\s*\{\s*"(?:nodes|startTime|endTime|samples|timeDeltas)"/.test(head)) {
    return `a .cpuprofile of V8; ${v8} startCPUProfile`;
  }
  if (/^\s*\{\s*"head"/.test(head)) return `a .heapprofile of V8; ${v8} startV8HeapProfile`;
  if (/^\s*\{\s*"snapshot"/.test(head)) return "a .heapsnapshot of V8; open it in Chrome DevTools";
  return undefined;
}

function messageOf(e: unknown): string {
  return e instanceof Error ? e.message : String(e);
}
