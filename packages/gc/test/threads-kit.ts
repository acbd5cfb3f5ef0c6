/**
 * Several threads of a heap on one JavaScript thread: each has its allocator and its collector. The test chooses which
 * thread does something next, so every interleaving of whole steps can be repeated.
 */
import { createAllocator, newHeapStats } from "@gort/allocator";
import { attachCollector, type Collector, type World, type WorldThreads } from "../src/index.ts";
import { type Rig, type RigOptions, rig } from "./kit.ts";

/** What a thread is told by others, and what it wants to run. */
interface Inbox {
  notified: boolean;
  readonly ready: (() => void)[];
}

/** The world of several threads: a stop finds each of them at a safepoint, since each call of the test returns. */
export class TestWorld {
  readonly rigs: Rig[] = [];
  readonly #inboxes: Inbox[] = [];
  readonly stops: string[] = [];
  stopped = false;
  /** The thread that has stopped the world last. */
  #stopper = -1;
  /** The world as each thread sees it. */
  readonly worlds: World[] = [];
  /** Called in `block` until its condition holds: lets another thread do something. */
  meanwhile: () => void = () => {
    for (const r of this.rigs) if (!r.gc.gcRequested || r === this.rigs[0]) this.safepoint(r.gc);
  };

  /** The world as thread `id` sees it. */
  of(id: number): World & { readonly threads: WorldThreads } {
    const inbox: Inbox = { notified: false, ready: [] };
    this.#inboxes[id] = inbox;
    const poll = (): void => {
      inbox.notified = false;
      this.rigs[id].gc.threads.polled();
    };
    const stops = (): boolean => this.stopped && this.#stopper === id;
    const world: World & { readonly threads: WorldThreads } = {
      stopTheWorld: (reason) => {
        if (this.stopped) throw new Error("the world is stopped already");
        this.stopped = true;
        this.#stopper = id;
        this.stops.push(reason);
        for (const [k, r] of this.rigs.entries()) if (k !== id) r.gc.threads.prepareStop();
      },
      startTheWorld: () => {
        this.stopped = false;
      },
      gomaxprocs: () => Math.max(1, this.rigs.length),
      ready: (fn) => void inbox.ready.push(fn),
      threads: {
        id,
        get pending() {
          return inbox.notified;
        },
        get stopping() {
          return stops();
        },
        poll,
        command: (command, arg) => {
          if (!this.stopped) throw new Error("a command, but the world runs");
          for (const [k, r] of this.rigs.entries()) if (k !== id) r.gc.threads.command(command, arg);
        },
        notify: (thread) => {
          this.#inboxes[thread].notified = true;
        },
        block: (done) => {
          for (let n = 0; !done(); n++) {
            if (n > 100_000) throw new Error(`thread ${id} blocks for ever`);
            this.meanwhile();
          }
        },
      },
    };
    this.worlds[id] = world;
    return world;
  }

  /** A thread reaches a safepoint. */
  safepoint(gc: Collector): void {
    this.deliver(gc);
    gc.pollSafepoint();
  }

  /** A thread takes its notifications. */
  deliver(gc: Collector): void {
    const id = this.rigs.findIndex((r) => r.gc === gc);
    if (!this.#inboxes[id].notified) return;
    this.#inboxes[id].notified = false;
    gc.threads.polled();
  }

  /** Whether a thread has been notified, and has not looked. */
  isNotified(id: number): boolean {
    return this.#inboxes[id].notified;
  }

  /** Runs what a thread wanted to run. */
  run(id: number): void {
    for (const f of this.#inboxes[id].ready.splice(0)) f();
  }

  /** Attaches one more thread. */
  attach(options: RigOptions = {}): Rig {
    const [driver] = this.rigs;
    const { maxMemory: _m, above: _a, shared: _s, kernel: _k, ...rest } = options;
    const a = createAllocator({ memory: driver.a.mem, seed: 1 + this.rigs.length });
    const marker = process.env.GORT_MARKER === "js" ? { marker: "js" as const } : {};
    const lines: string[] = [];
    const gc = attachCollector(a, {
      stderr: (text) => lines.push(text),
      ...marker,
      ...rest,
      world: this.of(this.rigs.length),
    });
    const r: Rig = { ...driver, a, gc, lines };
    this.rigs.push(r);
    return r;
  }

  /** A thread ends. */
  end(r: Rig): void {
    r.gc.threads.close();
    r.a.close();
    this.rigs.splice(this.rigs.indexOf(r), 1);
  }

  /** Objects in the heap. */
  objects(): number {
    for (const r of this.rigs) r.a.flushAll();
    return this.rigs[0].a.readStats(newHeapStats()).heapObjects;
  }
}

/** A heap with so many threads. The first is the driver. */
export function threads(n: number, options: RigOptions = {}): TestWorld {
  const world = new TestWorld();
  const driver = rig({ shared: true, ...options, world: world.of(0) });
  driver.a.share();
  world.rigs.push(driver);
  for (let k = 1; k < n; k++) world.attach(options);
  return world;
}
