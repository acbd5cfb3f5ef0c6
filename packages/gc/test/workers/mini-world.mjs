// The world of several threads over atomics, as small as a test needs it: each thread calls poll() often. A stop waits
// for all threads that have entered. Words of the block, at byte offsets:
//
//     0 owner    thread that stops the world, plus 1     4 stopping   8 command sequence  12 command
//     16 commands run    64 + 64 * id: state of a thread (0 gone, 1 runs, 2 stopped), + 4: notified

export const WORLD_BYTES = 64 + 64 * 16;
const [GONE, RUNS, STOPPED] = [0, 1, 2];
const THREADS = 16;

export class MiniWorld {
  constructor(mem, base, id, procs) {
    this.mem = mem;
    this.base = base;
    this.id = id;
    this.procs = procs;
    this.gc = null;
    this.seen = mem.kernel.load(base + 8);
    this.ready = [];
    this.maxStopMs = 0;
  }

  state(id) {
    return this.base + 64 + 64 * id;
  }
  load(addr) {
    return this.mem.kernel.load(addr);
  }
  set(addr, value) {
    this.mem.kernel.store(addr, value);
    Atomics.notify(this.mem.i32, addr >>> 2);
  }
  sleep(addr, value) {
    Atomics.wait(this.mem.i32, addr >>> 2, value, 1);
  }

  /** This thread takes part from here on. */
  enter() {
    for (;;) {
      this.set(this.state(this.id), RUNS);
      if (this.load(this.base + 4) === 0) return;
      this.set(this.state(this.id), GONE);
      this.sleep(this.base + 4, 1);
    }
  }
  leave() {
    this.set(this.state(this.id), GONE);
  }

  world() {
    const self = this;
    return {
      stopTheWorld: () => this.stop(),
      startTheWorld: () => this.start(),
      gomaxprocs: () => this.procs,
      ready: (fn) => this.ready.push(fn),
      threads: {
        id: this.id,
        get pending() {
          return (
            self.mem.u32[(self.base + 4) >>> 2] !== 0 || self.mem.u32[(self.state(self.id) + 4) >>> 2] !== 0
          );
        },
        poll: () => this.poll(),
        command: (command) => this.command(command),
        notify: (thread) => this.set(this.state(thread) + 4, 1),
        block: (done) => this.block(done),
      },
    };
  }

  others(f) {
    for (let k = 0; k < THREADS; k++) if (k !== this.id && this.load(this.state(k)) !== GONE) f(k);
  }

  stop() {
    const from = performance.now();
    while (this.mem.kernel.cas(this.base, 0, this.id + 1) !== 0) this.poll();
    this.set(this.base + 4, 1);
    for (let k = 0; k < THREADS; k++) {
      if (k === this.id) continue;
      while (this.load(this.state(k)) === RUNS) this.sleep(this.state(k), RUNS);
    }
    this.maxStopMs = Math.max(this.maxStopMs, performance.now() - from);
  }

  start() {
    this.set(this.base + 4, 0);
    this.set(this.base, 0);
  }

  command(command) {
    let n = 0;
    this.others(() => n++);
    this.set(this.base + 16, 0);
    this.mem.kernel.store(this.base + 12, command);
    this.mem.kernel.add(this.base + 8, 1);
    Atomics.notify(this.mem.i32, (this.base + 4) >>> 2);
    while (this.load(this.base + 16) < n) this.sleep(this.base + 16, this.load(this.base + 16));
  }

  serve() {
    const seq = this.load(this.base + 8);
    if (seq === this.seen) return;
    this.seen = seq;
    this.gc?.threads.command(this.load(this.base + 12), 0);
    this.mem.kernel.add(this.base + 16, 1);
    Atomics.notify(this.mem.i32, (this.base + 16) >>> 2);
  }

  /** Serves the thread that has stopped the world until it starts. */
  stopped() {
    this.gc?.threads.prepareStop();
    this.set(this.state(this.id), STOPPED);
    for (;;) {
      while (this.load(this.base + 4) !== 0) {
        this.serve();
        this.sleep(this.base + 4, 1);
      }
      this.set(this.state(this.id), RUNS);
      if (this.load(this.base + 4) === 0) return;
      this.set(this.state(this.id), STOPPED);
    }
  }

  poll() {
    if (this.load(this.base + 4) !== 0 && this.load(this.base) !== this.id + 1) this.stopped();
    const at = this.state(this.id) + 4;
    if (this.load(at) !== 0) {
      this.mem.kernel.store(at, 0);
      this.gc?.threads.polled();
    }
    for (const f of this.ready.splice(0)) f();
  }

  block(done) {
    const at = this.state(this.id) + 4;
    while (!done()) {
      this.gc.threads.prepareStop();
      this.set(this.state(this.id), STOPPED);
      if (this.load(this.base + 4) === 0) this.sleep(at, 0);
      else {
        this.serve();
        this.sleep(this.base + 4, 1);
      }
      this.stopped();
      this.poll();
    }
  }
}
