// The run loop of the stress test, for M 0 and for workers. A task is a record: link, kind, its number, and how many
// tasks it spawns.

/** Words at `words`: whether all is over, the sum of the tasks run, their number, commands run, ... */
const OVER = 0;
const SUM = 1;
const RUN = 2;
const COMMANDS = 3;
const NEXT = 4;
const POSTS = 5;
/** 1 while a thread runs tasks or receives nodes although the world is stopped: a stop has failed. */
const STOPPED = 6;
/** Nodes used, and nodes posted. */
const NODES = 7;
const POSTED = 8;

const TASK_BYTES = 16;
const SLICE_MS = 2;

export function runTasks(threads, words, seed, options, end) {
  const { mem } = threads;
  const { kernel, u32 } = mem;
  const at = (k) => words + 4 * k;
  let x = seed | 1;
  const random = (n) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % n;
  };
  let failure = null;
  let ended = false;
  const mustRun = (what) => {
    if (kernel.load(at(STOPPED)) !== 0) failure ??= `M ${threads.m} ${what} while the world is stopped`;
  };
  threads.onCommand = (command, arg) => {
    if (kernel.load(at(STOPPED)) !== 1) failure ??= `M ${threads.m} has a command while the world runs`;
    kernel.add(at(COMMANDS), command * arg);
  };
  // A worker that is registered because a P is idle does not start.
  threads.startM = (m) => threads.died(m, threads.threadOf(m));
  threads.onNode = () => {
    mustRun("receives a node");
    kernel.add(at(POSTS), 1);
  };

  function spawn(n) {
    for (let k = 0; k < n; k++) {
      const i = kernel.add(at(NEXT), 1);
      if (i >= options.tasks) return;
      const task = options.records + i * TASK_BYTES;
      u32[(task + 8) >>> 2] = i;
      u32[(task + 12) >>> 2] = 1 + random(3);
      threads.putTask(task);
    }
  }

  function stop() {
    threads.stopTheWorld("the test");
    if (kernel.xchg(at(STOPPED), 1) !== 0) failure ??= "two threads have stopped the world";
    const before = kernel.load(at(COMMANDS));
    threads.command(3, 5);
    const ran = (kernel.load(at(COMMANDS)) - before) / 15;
    if (ran > threads.count - 1) failure ??= `${ran} threads ran the command`;
    const run = kernel.load(at(RUN));
    for (let i = 0; i < 2000; i++) {
      if (kernel.load(at(RUN)) !== run) failure ??= "a task ran while the world was stopped";
    }
    if (options.resize) threads.setGomaxprocs(1 + random(8));
    kernel.store(at(STOPPED), 0);
    threads.startTheWorld();
  }

  function run(task) {
    mustRun("runs a task");
    kernel.add(at(SUM), u32[(task + 8) >>> 2]);
    spawn(u32[(task + 12) >>> 2]);
    const r = random(options.stopEvery);
    if (r === 0) stop();
    else if (r === 1) {
      threads.post(random(options.ms), options.nodes + 16 * kernel.add(at(NODES), 1));
      kernel.add(at(POSTED), 1);
    }
    kernel.add(at(RUN), 1);
    if (random(4000) === 0) spin(random(300));
  }

  function spin(us) {
    const until = performance.now() + us / 1000;
    while (performance.now() < until);
  }

  /** Wakes an M that sleeps. One that is awake may have seen the end by itself, and left. */
  function postOver(m) {
    try {
      threads.post(m, options.nodes + 16 * kernel.add(at(NODES), 1));
      kernel.add(at(POSTED), 1);
    } catch (err) {
      if (!/has left/.test(err.message)) throw err;
    }
  }

  function slice() {
    if (ended) return;
    threads.awake();
    if (threads.pending) threads.poll();
    if (kernel.load(at(OVER)) !== 0 || failure !== null) {
      ended = true;
      if (threads.m !== 0) threads.leave();
      end(failure);
      return;
    }
    if (!threads.acquireP()) {
      threads.sleep(slice);
      return;
    }
    const until = performance.now() + SLICE_MS;
    while (performance.now() < until) {
      if (threads.pending) threads.poll();
      const task = threads.takeTask();
      if (task === 0) {
        if (threads.pending) continue;
        if (kernel.load(at(RUN)) === options.tasks && kernel.xchg(at(OVER), 1) === 0) {
          for (let m = 0; m < options.ms; m++) if (m !== threads.m) postOver(m);
        }
        // The node that tells of the end may have come in this slice.
        if (kernel.load(at(OVER)) !== 0) {
          setImmediate(slice);
          return;
        }
        // A random sleep of the event loop: this M works again by an event of its own.
        if (random(20) === 0) setTimeout(() => threads.awake() ?? slice(), 1);
        threads.sleep(slice);
        return;
      }
      run(task);
    }
    if (threads.wanted) threads.releaseP();
    setImmediate(slice);
  }

  return { slice, spawn };
}
