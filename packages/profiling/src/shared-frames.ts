/**
 * Frames that threads exchange. The buckets of a thread have its frame numbers (bucket.ts). Another thread that shows
 * their stacks must know which places in the code these are. So each thread puts the frames of its buckets into the
 * arena, once each, and a reader takes them into its own PC table.
 *
 *     header + FRAMES -> FRAME -> FRAME -> ... -> 0          newest first, never freed
 *     FRAME   0  next    4  frame number    8  bytes    12  a PortableFrame as JSON, in UTF-8
 *
 * A thread other than the first publishes frames when it makes a bucket, before the bucket can be found. So its buckets
 * can be shown even if the thread is killed. The first thread outlives the others. It publishes when another thread
 * reads, so a program with one thread pays nothing.
 *
 * Readers run while the owner of a list does nothing.
 */
import type { FrameExchange, ProfArena } from "./bucket.ts";
import type { PCTable, PortableFrame } from "./pc-table.ts";

const NEXT = 0;
const ID = 4;
const BYTES = 8;
const TEXT = 12;

/** What this thread has read of another thread's list. */
interface Known {
  /** The newest FRAME that was read. */
  newest: number;
  /** Frame number of the other thread -> frame number of this one. */
  readonly ids: number[];
}

export class SharedFrames implements FrameExchange {
  /** By frame number: whether this thread has published it. */
  private readonly published: boolean[] = [];
  /** By head of the list. */
  private readonly known = new Map<number, Known>();

  constructor(
    private readonly table: PCTable,
    private readonly arena: ProfArena,
  ) {}

  publish(head: number, stack: Uint32Array, n: number): void {
    for (let i = 0; i < n; i++) {
      const id = stack[i];
      if (this.published[id] === true) continue;
      this.append(head, id);
      this.published[id] = true;
    }
  }

  private append(head: number, id: number): void {
    const { arena, table } = this;
    const text = new TextEncoder().encode(JSON.stringify(table.portable(id)));
    const at = arena.alloc(TEXT + text.length);
    const { u32 } = arena;
    u32[(at + NEXT) >>> 2] = u32[head >>> 2];
    u32[(at + ID) >>> 2] = id;
    u32[(at + BYTES) >>> 2] = text.length;
    new Uint8Array(u32.buffer, u32.byteOffset + at + TEXT, text.length).set(text);
    u32[head >>> 2] = at;
  }

  translate(head: number, stack: Uint32Array): number[] {
    const { ids } = this.read(head);
    return Array.from(stack, (id) => ids[id]);
  }

  private read(head: number): Known {
    const { u32 } = this.arena;
    let known = this.known.get(head);
    if (known === undefined) {
      known = { newest: 0, ids: [] };
      this.known.set(head, known);
    }
    const newest = u32[head >>> 2];
    for (let at = newest; at !== known.newest; at = u32[(at + NEXT) >>> 2]) {
      known.ids[u32[(at + ID) >>> 2]] = this.table.adopt(this.frameAt(at));
    }
    known.newest = newest;
    return known;
  }

  private frameAt(at: number): PortableFrame {
    const { u32 } = this.arena;
    const from = u32.byteOffset + at + TEXT;
    // A copy: TextDecoder does not read shared memory everywhere.
    const bytes = new Uint8Array(u32.buffer, from, u32[(at + BYTES) >>> 2]).slice();
    return JSON.parse(utf8.decode(bytes)) as PortableFrame;
  }
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
