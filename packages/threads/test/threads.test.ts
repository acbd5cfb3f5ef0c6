import { type Addr, createLinearMemory, lock, unlock } from "@gort/memory";
import { ROOT_THREADS } from "@gort/memory/internal";
import { describe, expect, it } from "vitest";
import { threadHost } from "../src/host.ts";
import { NODE_KIND, NODE_TASK } from "../src/internal.ts";
import { MREC_AT, SCHED_AT } from "../src/layout.ts";
import { type TestThreads, testThreads, verifyThreads } from "../src/testing.ts";
import { attachThreads, createThreads } from "../src/threads.ts";

function rig(n: number, gomaxprocs = n): TestThreads {
  return testThreads(createLinearMemory({ maxMemory: 64 << 20 }), n, gomaxprocs);
}

describe("an inbox", () => {
  it("delivers nodes in the order of the posts, when poll finds them", () => {
    const { ms, record } = rig(2);
    const got: Addr[] = [];
    ms[1].onNode = (node) => void got.push(node);
    const nodes = [record(), record(), record()];
    expect(ms[1].pending).toBe(false);
    for (const node of nodes) ms[0].post(1, node);
    expect([ms[1].pending, got]).toEqual([true, []]);
    ms[1].poll();
    expect([ms[1].pending, got]).toEqual([false, nodes]);
  });

  it("keeps what onNode has not got if it throws", () => {
    const { ms, record } = rig(2);
    const got: Addr[] = [];
    const nodes = [record(), record(), record()];
    ms[1].onNode = (node) => {
      got.push(node);
      if (node === nodes[0]) throw new Error("once");
    };
    for (const node of nodes) ms[0].post(1, node);
    expect(() => ms[1].poll()).toThrow("once");
    expect(ms[1].pending).toBe(true);
    ms[1].poll();
    expect(got).toEqual(nodes);
  });

  it("delivers the rest in order if onNode polls", () => {
    const { ms, record } = rig(2);
    const got: Addr[] = [];
    const nodes = [record(), record(), record()];
    ms[1].onNode = (node) => {
      got.push(node);
      ms[1].poll();
    };
    for (const node of nodes) ms[0].post(1, node);
    ms[1].poll();
    expect(got).toEqual(nodes);
  });

  it("leaves the kind of a node alone", () => {
    const { ms, record, mem } = rig(2);
    const node = record();
    mem.u32[(node + NODE_KIND) >>> 2] = NODE_TASK;
    ms[0].post(1, node);
    ms[1].poll();
    expect(mem.u32[(node + NODE_KIND) >>> 2]).toBe(NODE_TASK);
  });
});

describe("a sleeping thread", () => {
  it("is called back by a post, as a task of its event loop", () => {
    const { ms, record, turn, mem } = rig(2);
    let woken = 0;
    ms[1].sleep(() => void woken++);
    expect([turn(), woken, ms[0].othersBusy]).toEqual([0, 0, 0]);
    ms[0].post(1, record());
    expect([woken, ms[0].othersBusy]).toEqual([0, 1]);
    turn();
    expect(woken).toBe(1);
    ms[1].awake();
    verifyThreads(mem);
  });

  it("is called back by a post that came before it slept", () => {
    const { ms, record, turn } = rig(2);
    let woken = 0;
    ms[0].post(1, record());
    ms[1].sleep(() => void woken++);
    expect(woken).toBe(0);
    turn();
    expect(woken).toBe(1);
  });

  it("sleeps on after a signal alone", () => {
    const { ms, record, turn, mem } = rig(2);
    let woken = 0;
    ms[1].sleep(() => void woken++);
    ms[0].signal(1);
    expect([turn(), woken]).toEqual([1, 0]);
    verifyThreads(mem);
    ms[0].post(1, record());
    turn();
    expect(woken).toBe(1);
  });

  it("may work by an event of its own, and sleep again while the first wait is pending", () => {
    const { ms, record, turn, mem } = rig(2);
    const woken: string[] = [];
    ms[1].sleep(() => void woken.push("first"));
    ms[1].awake();
    expect(ms[0].othersBusy).toBe(1);
    ms[1].sleep(() => void woken.push("second"));
    ms[0].post(1, record());
    turn();
    expect(woken).toEqual(["second"]);
    ms[1].awake();
    expect(verifyThreads(mem).ms).toBe(2);
  });

  it("that another one has woken may work before its callback comes", () => {
    const { ms, record, turn, mem } = rig(2);
    let woken = 0;
    ms[1].sleep(() => void woken++);
    ms[0].post(1, record());
    ms[1].awake();
    ms[1].poll();
    turn();
    expect(woken).toBe(0);
    verifyThreads(mem);
  });

  it("tells M 0 if it was the last", () => {
    const { ms, turn, mem } = rig(3);
    let told = 0;
    ms[0].onAllIdle = () => void told++;
    for (const m of ms) m.sleep(() => {});
    turn();
    expect([told, ms[0].othersBusy]).toEqual([1, 0]);
    ms[1].awake();
    expect(ms[0].othersBusy).toBe(1);
    ms[1].sleep(() => {});
    turn();
    expect([told, ms[0].othersBusy]).toEqual([2, 0]);
    verifyThreads(mem);
  });
});

describe("a thread that has nothing to run", () => {
  /** Two Ms on two processors, each with a P, and how long M 1 spins. */
  function spinners(gomaxprocs = 2) {
    const t = rig(2, gomaxprocs);
    t.cpus = 2;
    for (const m of t.ms) m.acquireP();
    let reads = 0;
    t.meanwhile = () => void reads++;
    const spin = (tasks = true): [boolean, number] => {
      reads = 0;
      const found = t.ms[1].spin(tasks);
      return [found, reads];
    };
    return { ...t, t, spin };
  }

  it("spins until a node comes, and delivers none", () => {
    const { t, ms, record, spin } = spinners();
    const got: Addr[] = [];
    ms[1].onNode = (node) => void got.push(node);
    const node = record();
    let reads = 0;
    t.meanwhile = () => {
      if (++reads === 3) ms[0].post(1, node);
    };
    expect(spin(false)[0]).toBe(true);
    expect([reads, got]).toEqual([3, []]);
    ms[1].poll();
    expect(got).toEqual([node]);
  });

  it("spins until another P has a task, if it looks for tasks", () => {
    const { t, ms, record, spin, mem } = spinners();
    const task = record();
    ms[0].putTask(task);
    expect(spin(false)[0]).toBe(false);
    expect(spin(true)[0]).toBe(true);
    // The task counts for nothing yet: the thread takes it like any other.
    expect(ms[1].takeTask()).toBe(task);
    expect(spin(true)[0]).toBe(false);
    t.meanwhile = () => {};
    expect(verifyThreads(mem).tasks).toEqual([]);
  });

  it("counts as an M that searches: no other one is woken for a task", () => {
    const { t, ms, record, spin } = spinners(4);
    const started: number[] = [];
    ms[0].startM = (m) => void started.push(m);
    const [before, during] = [record(), record()];
    t.meanwhile = () => {
      t.meanwhile = () => {};
      ms[0].putTask(during);
    };
    expect([spin()[0], ms[0].procs().spinning, started]).toEqual([true, 0, []]);
    expect(ms[1].takeTask()).toBe(during);
    ms[0].putTask(before);
    expect(started).toEqual([2]);
  });

  it("spins for a long time first; after a look in vain for short ones, and after 16 of them for a long one", () => {
    const { t, ms, record, spin } = spinners();
    const looks = Array.from({ length: 34 }, () => spin()[1]);
    expect(looks.map((n) => (n > 40 ? "long" : n < 10 ? "short" : n))).toEqual(
      looks.map((_, k) => (k % 16 === 0 ? "long" : "short")),
    );
    ms[0].post(1, record());
    expect(spin()).toEqual([true, 1]);
    ms[1].poll();
    t.meanwhile = () => {};
    expect(spin()[0]).toBe(false);
  });

  it.each<[string, (s: ReturnType<typeof spinners>) => void]>([
    ["on one processor", ({ t }) => void (t.cpus = 1)],
    ["if all other threads sleep", ({ ms }) => ms[0].sleep(() => {})],
    ["if more threads are awake than there are processors", ({ t }) => void t.attach()],
    [
      "while a thread waits for a P",
      ({ t }) => {
        t.cpus = 3;
        t.attach().acquireP();
      },
    ],
  ])("does not spin %s", (_, prepare) => {
    const s = spinners();
    prepare(s);
    expect(s.spin()).toEqual([false, 0]);
  });

  it("stops spinning if the other one falls asleep", () => {
    const { t, ms } = spinners();
    let reads = 0;
    t.meanwhile = () => {
      if (++reads === 3) ms[0].sleep(() => {});
    };
    expect([ms[1].spin(true), reads]).toEqual([false, 3]);
  });
});

describe("Ps", () => {
  it("are given to as many Ms as there are Ps; the others wait in a FIFO", () => {
    const { ms, turn, mem } = rig(4, 2);
    const woken: number[] = [];
    expect(ms.map((m) => m.acquireP())).toEqual([true, true, false, false]);
    expect(ms[0].wanted).toBe(true);
    for (const m of [2, 3]) ms[m].sleep(() => void woken.push(m));
    expect(verifyThreads(mem).waitingMs).toBe(2);
    ms[1].releaseP();
    ms[0].releaseP();
    turn();
    expect(woken).toEqual([2, 3]);
    expect([ms[2].acquireP(), ms[3].acquireP(), ms[2].wanted]).toEqual([true, true, false]);
    expect(verifyThreads(mem)).toMatchObject({ waitingMs: 0, idlePs: 0 });
  });

  it("that are handed over before the thread sleeps wake it at once", () => {
    const { ms, turn } = rig(2, 1);
    let woken = 0;
    ms[0].acquireP();
    expect(ms[1].acquireP()).toBe(false);
    ms[0].releaseP();
    ms[1].sleep(() => void woken++);
    turn();
    expect([woken, ms[1].acquireP()]).toEqual([1, true]);
  });

  it("go with their tasks", () => {
    const { ms, record } = rig(2, 1);
    const task = record();
    ms[0].acquireP();
    ms[1].acquireP();
    ms[0].putTask(task);
    ms[0].releaseP();
    expect([ms[0].takeTask(), ms[1].takeTask()]).toEqual([0, task]);
  });

  it("that an M holds for 10 ms are lent to those that wait, a slice to each", () => {
    const { ms, turn, advance, record, mem } = rig(4, 1);
    const woken: number[] = [];
    ms[0].acquireP();
    expect(ms[1].acquireP()).toBe(false);
    advance(9);
    expect([ms[1].acquireP(), ms[2].acquireP()]).toEqual([false, false]);
    advance(1);
    expect(ms[1].acquireP()).toBe(true);
    expect(verifyThreads(mem)).toMatchObject({ waitingMs: 1, idlePs: 0 });
    // M 0 has the P and its ring: the borrower takes no tasks, and puts its own into the global queue.
    const tasks = [record(), record()];
    ms[0].putTask(tasks[0]);
    ms[1].putTask(tasks[1]);
    expect(ms[1].takeTask()).toBe(0);
    expect([ms[0].takeTask(), ms[0].takeTask()]).toEqual(tasks);
    // It keeps the loan until it gives it back. The next one in the queue gets it then.
    expect(ms[1].acquireP()).toBe(true);
    ms[2].sleep(() => void woken.push(2));
    ms[1].releaseP();
    turn();
    expect([woken, ms[2].acquireP()]).toEqual([[2], true]);
    ms[2].releaseP();
    // No other M waits, so it may go on at once.
    expect(ms[2].acquireP()).toBe(true);
    verifyThreads(mem);
    ms[0].releaseP();
    ms[2].releaseP();
    expect(verifyThreads(mem)).toMatchObject({ waitingMs: 0, idlePs: 1 });
    expect([ms[2].acquireP(), ms[1].acquireP()]).toEqual([true, false]);
  });

  it("are not lent if their M gave them away meanwhile, however long another one waits", () => {
    const { ms, advance, mem } = rig(3, 2);
    ms[0].acquireP();
    ms[1].acquireP();
    ms[2].acquireP();
    for (let k = 0; k < 4; k++) {
      advance(6);
      // Both slices end, and M 2 is late to see that it got a P.
      for (const m of [0, 1]) ms[m].releaseP();
      for (const m of [0, 1]) ms[m].acquireP();
      verifyThreads(mem);
      ms[2].releaseP();
      expect(ms[2].acquireP()).toBe(false);
    }
    advance(10);
    expect(ms[2].acquireP()).toBe(true);
  });

  it("are lent once more if the borrower is stuck, too", () => {
    const { ms, advance, mem } = rig(3, 1);
    ms[0].acquireP();
    ms[1].acquireP();
    advance(10);
    expect([ms[1].acquireP(), ms[2].acquireP()]).toEqual([true, false]);
    advance(10);
    expect(ms[2].acquireP()).toBe(true);
    // The first borrower comes back: the loan is no longer its own to pass on.
    ms[1].releaseP();
    expect(ms[1].acquireP()).toBe(false);
    verifyThreads(mem);
    ms[2].releaseP();
    expect(ms[1].acquireP()).toBe(true);
    ms[1].leave();
    ms[2].leave();
    expect(verifyThreads(mem)).toMatchObject({ ms: 1, waitingMs: 0, idlePs: 0 });
  });

  it("are no longer lent when their M has come back", () => {
    const { ms, advance, mem } = rig(3, 1);
    ms[0].acquireP();
    ms[1].acquireP();
    advance(10);
    expect(ms[1].acquireP()).toBe(true);
    ms[0].releaseP();
    ms[0].acquireP();
    expect(ms[2].acquireP()).toBe(false);
    // Its slice ends, and neither M 2 nor itself gets the loan.
    ms[1].releaseP();
    expect([ms[1].acquireP(), ms[2].acquireP()]).toEqual([false, false]);
    expect(verifyThreads(mem)).toMatchObject({ waitingMs: 2 });
  });

  it("grow and shrink; tasks of a P that goes out of use stay", () => {
    const { ms, record, mem } = rig(1, 1);
    ms[0].setGomaxprocs(3);
    expect(verifyThreads(mem).idlePs).toBe(3);
    ms[0].acquireP();
    const tasks = Array.from({ length: 300 }, () => record());
    for (const t of tasks) ms[0].putTask(t);
    ms[0].setGomaxprocs(1);
    expect(verifyThreads(mem)).toMatchObject({ idlePs: 0 });
    expect(verifyThreads(mem).tasks.toSorted()).toEqual(tasks.toSorted());
  });

  it("are from 1 to 256", () => {
    const { ms, mem } = rig(1);
    for (const n of [0, 257, 1.5]) {
      expect(() => ms[0].setGomaxprocs(n)).toThrow(
        `threads: gomaxprocs must be a whole number from 1 to 256 (got ${n})`,
      );
    }
    ms[0].setGomaxprocs(256);
    expect(verifyThreads(mem).idlePs).toBe(256);
  });

  it("do not change in number while the world runs", () => {
    const { ms } = rig(2);
    expect(() => ms[0].setGomaxprocs(1)).toThrow("threads: setGomaxprocs while the world runs");
  });
});

describe("tasks", () => {
  it("run in Go's order on one P: the last one first, then the ring", () => {
    const { ms, record } = rig(1);
    ms[0].acquireP();
    const tasks = [record(), record(), record(), record()];
    for (const t of tasks) ms[0].putTask(t);
    expect([1, 2, 3, 4, 5].map(() => ms[0].takeTask())).toEqual([tasks[3], tasks[0], tasks[1], tasks[2], 0]);
  });

  it("of a full ring move by half to the global queue, which comes first at each 61st call", () => {
    const { ms, record, mem } = rig(1);
    ms[0].acquireP();
    const tasks = Array.from({ length: 258 }, () => record());
    for (const t of tasks) ms[0].putTask(t);
    verifyThreads(mem);
    const taken = Array.from({ length: 61 }, () => ms[0].takeTask());
    // runnext, then the ring from the 129th on; the 61st is the head of the global queue.
    expect(taken[0]).toBe(tasks[257]);
    expect(taken[1]).toBe(tasks[128]);
    expect(taken[60]).toBe(tasks[0]);
    const rest = new Set(taken);
    for (let t = ms[0].takeTask(); t !== 0; t = ms[0].takeTask()) rest.add(t);
    expect(rest.size).toBe(258);
    expect(verifyThreads(mem).tasks).toEqual([]);
  });

  it("wake a sleeping M, which steals half of the ring", () => {
    const { ms, record, turn, mem } = rig(2);
    let woken = 0;
    ms[0].acquireP();
    ms[1].sleep(() => void woken++);
    const tasks = Array.from({ length: 9 }, () => record());
    for (const t of tasks) ms[0].putTask(t);
    turn();
    ms[1].awake();
    expect([woken, ms[1].acquireP()]).toEqual([1, true]);
    const mine = [ms[1].takeTask(), ms[1].takeTask(), ms[1].takeTask(), ms[1].takeTask()];
    expect(mine.toSorted()).toEqual(tasks.slice(0, 4));
    expect(ms[0].takeTask()).toBe(tasks[8]);
    verifyThreads(mem);
  });

  it("are for others again if the woken M has something to run first", () => {
    const { ms, record, turn, mem } = rig(3);
    const ran: unknown[] = [];
    ms[0].acquireP();
    ms[2].acquireP();
    ms[1].sleep(() => {
      ms[1].awake();
      ms[1].acquireP();
      ms[1].handOver();
      // Its goroutine computes.
      ran.push(ms[2].takeTask());
    });
    const task = record();
    ms[0].putTask(task);
    turn();
    expect(ran).toEqual([task]);
    verifyThreads(mem);
  });

  it("wake one M at a time; M 0 is the last one to be woken", () => {
    const { ms, record, turn } = rig(3);
    const woken: number[] = [];
    ms[2].acquireP();
    for (const m of [0, 1]) ms[m].sleep(() => void woken.push(m));
    ms[2].putTask(record());
    ms[2].putTask(record());
    // M 1 finds a task and sees another one in runnext of M 2.
    turn();
    expect(woken).toEqual([1, 0]);
  });

  it("start an M if none sleeps, and not more than gomaxprocs", () => {
    const { ms, record, mem } = rig(1, 3);
    const started: number[] = [];
    ms[0].startM = (m) => void started.push(m);
    ms[0].acquireP();
    for (let k = 0; k < 5; k++) ms[0].putTask(record());
    expect(started).toEqual([1, 2]);
    expect([ms[0].count, ms[0].othersBusy]).toEqual([3, 2]);
    verifyThreads(mem);
    expect(ms[0].died(2, ms[0].threadOf(2))).toBe(false);
    expect(ms[0].count).toBe(2);
    verifyThreads(mem);
  });

  it("start no second M for the only task of the P that a woken M gets", () => {
    const { ms, record, turn, mem } = rig(2, 3);
    const started: number[] = [];
    ms[0].acquireP();
    ms[0].setLocked(true);
    const tasks = [record(), record()];
    ms[0].putTask(tasks[0]);
    ms[0].sleep(() => {});
    for (const m of ms) m.startM = (fresh) => void started.push(fresh);
    // It finds the task, and is woken for it with the P in whose ring it lies.
    ms[1].sleep(() => {});
    turn();
    expect([ms[1].acquireP(), started]).toEqual([true, []]);
    expect(ms[1].takeTask()).toBe(tasks[0]);
    // For two tasks a second one starts.
    ms[1].sleep(() => {});
    ms[0].acquireP();
    for (const task of tasks) ms[0].putTask(task);
    turn();
    expect(started).toEqual([2]);
    verifyThreads(mem);
  });

  it("are not stolen for a thread that has something else to run", () => {
    const { ms, record } = rig(2, 2);
    const tasks = [record(), record(), record()];
    for (const m of ms) m.acquireP();
    for (const t of tasks) ms[0].putTask(t);
    expect(ms[1].takeTask(false)).toBe(0);
    expect(ms[0].takeTask(false)).toBe(tasks[2]);
    expect(ms[1].takeTask()).toBe(tasks[0]);
  });

  it("are left to a thread that is about to look for one, but not for ever", () => {
    const kit = rig(2, 2);
    const { ms, record, turn, advance } = kit;
    ms[0].acquireP();
    expect(ms[0].leavesTasks()).toBe(false);
    ms[1].sleep(() => {});
    const tasks = [record(), record(), record()];
    for (const t of tasks) ms[0].putTask(t);
    // M 1 is woken: it spins.
    expect(ms[0].leavesTasks()).toBe(true);
    turn();
    expect([ms[1].acquireP(), ms[1].takeTask()]).toEqual([true, tasks[0]]);
    // All Ps are in use, so no thread comes for the others.
    expect(ms[0].leavesTasks()).toBe(false);
    // A P is idle, and its M does not come.
    ms[1].releaseP();
    expect(ms[0].leavesTasks()).toBe(true);
    advance(99);
    expect(ms[0].leavesTasks()).toBe(true);
    advance(1);
    expect(ms[0].leavesTasks()).toBe(false);
    // Nor does it wait anew for each of the tasks.
    expect(ms[0].takeTask(false)).toBe(tasks[2]);
    expect(ms[0].leavesTasks()).toBe(false);
    // But it does for later ones, and after a time in which all Ps were in use.
    expect(ms[0].takeTask(false)).toBe(tasks[1]);
    expect(ms[0].leavesTasks()).toBe(false);
    ms[0].putTask(tasks[1]);
    expect(ms[0].leavesTasks()).toBe(true);
    advance(100);
    expect(ms[0].leavesTasks()).toBe(false);
    ms[1].acquireP();
    expect(ms[0].leavesTasks()).toBe(false);
    ms[1].releaseP();
    expect(ms[0].leavesTasks()).toBe(true);
  });

  it("wake no locked M, but start one more than gomaxprocs", () => {
    const { ms, record, turn, mem } = rig(2, 2);
    const woken: number[] = [];
    const started: number[] = [];
    for (const m of ms) m.startM = (k) => void started.push(k);
    ms[1].setLocked(true);
    ms[1].setLocked(true);
    ms[1].sleep(() => void woken.push(1));
    ms[0].acquireP();
    for (let k = 0; k < 5; k++) ms[0].putTask(record());
    turn();
    expect([woken, started]).toEqual([[], [2]]);
    verifyThreads(mem);
    ms[1].awake();
    ms[1].setLocked(false);
    ms[1].sleep(() => void woken.push(1));
    // A thread starts already, so M 1 is woken only for the P that is idle.
    ms[0].putTask(record());
    turn();
    expect([woken, started]).toEqual([[1], [2]]);
  });

  it("of an M that is locked then are for others", () => {
    const { ms, record } = rig(1, 2);
    const started: number[] = [];
    ms[0].acquireP();
    ms[0].putTask(record());
    ms[0].startM = (k) => void started.push(k);
    ms[0].setLocked(true);
    expect(started).toEqual([1]);
    ms[0].setLocked(false);
    ms[0].putTask(record());
    expect(started).toEqual([1]);
  });

  it("wake no M that is busy; when it is no longer, it is woken for those that wait", () => {
    const { ms, record, turn, mem } = rig(3, 3);
    const woken: number[] = [];
    for (const m of [1, 2]) ms[m].sleep(() => void woken.push(m));
    ms[1].setBusy(true);
    ms[0].acquireP();
    ms[0].putTask(record());
    turn();
    expect(woken).toEqual([2]);
    ms[2].awake();
    ms[0].putTask(record());
    turn();
    expect(woken).toEqual([2]);
    ms[1].setBusy(false);
    turn();
    expect(woken).toEqual([2, 1]);
    verifyThreads(mem);
  });

  it("can all be taken by a thread without a P", () => {
    const { ms, record, mem } = rig(2, 2);
    ms[0].acquireP();
    // Some are in the global queue, most in the ring, one in runnext.
    const tasks = Array.from({ length: 300 }, () => record());
    for (const t of tasks) ms[0].putTask(t);
    const taken: Addr[] = [];
    for (let t = ms[1].takeAnyTask(); t !== 0; t = ms[1].takeAnyTask()) taken.push(t);
    expect(taken.toSorted()).toEqual(tasks.toSorted());
    expect(verifyThreads(mem).tasks).toEqual([]);
  });

  it("of a thread without a P go to the global queue", () => {
    const { ms, record } = rig(2, 1);
    const task = record();
    ms[1].acquireP();
    ms[0].putTask(task);
    expect([ms[0].takeTask(), ms[1].takeTask()]).toEqual([0, task]);
  });
});

describe("the lock of the threads", () => {
  it("comes before all others, and has Go's name", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20, staticLockRanking: true });
    const m0 = createThreads(mem, 2, threadHost());
    // These take it, and allocate under it.
    m0.registerM();
    m0.setLocked(true);
    const lockAt = mem.root(ROOT_THREADS) + SCHED_AT.lock;
    expect(mem.lockRankOf(lockAt)).toBe("sched");
    lock(mem, mem.lockAddrs[0]);
    expect(() => m0.setLocked(false)).toThrow("sched");
    unlock(mem, mem.lockAddrs[0]);
  });
});

describe("an M", () => {
  it("whose thread has ended fails the stop that waits for it, and is counted until `died`", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const host = { ...threadHost(), wait: () => true };
    const m0 = createThreads(mem, 2, host);
    const thread = m0.threadOf(m0.registerM());
    attachThreads(mem, 1, host);
    // It has attached as this thread, whose number this memory has.
    const rec = mem.u32[(mem.root(ROOT_THREADS) + SCHED_AT.ms + 4) >>> 2];
    mem.u32[(rec + MREC_AT.thread) >>> 2] = thread;
    mem.threadExited(thread);
    expect(() => m0.stopTheWorld("a test")).toThrow("threads: M 1 has ended without leaving");
    // Its report can stop the world again.
    m0.stopTheWorld("a report");
    m0.startTheWorld();
    verifyThreads(mem);
    expect([m0.count, m0.othersBusy]).toEqual([2, 1]);
    expect([m0.died(1, thread), m0.count, m0.othersBusy]).toEqual([true, 1, 0]);
    m0.stopTheWorld("a test");
    m0.startTheWorld();
    verifyThreads(mem);
  });

  it("is called although it could not give its P away, as a thread has ended under the lock", () => {
    const { ms, mem, record, turn } = rig(2);
    const at = mem.root(ROOT_THREADS) + SCHED_AT.lock;
    const gone = mem.registerThread();
    mem.threadExited(gone);
    const got: Addr[] = [];
    ms[1].onNode = (node) => void got.push(node);
    expect(ms[1].acquireP()).toBe(true);
    mem.u32[at >>> 2] = gone << 1;
    expect(() => ms[1].sleep(() => {})).toThrow("lock sched at");
    mem.u32[at >>> 2] = 0;
    const node = record();
    ms[0].post(1, node);
    turn();
    expect(got).toEqual([node]);
  });

  it("that is woken keeps what its poll throws for the next one", () => {
    const { ms, record, turn } = rig(2);
    let woken = 0;
    ms[1].onNode = () => {
      throw new Error("once");
    };
    ms[1].sleep(() => void woken++);
    ms[0].post(1, record());
    turn();
    expect([woken, ms[1].pending]).toEqual([1, true]);
    expect(() => ms[1].poll()).toThrow("once");
    ms[1].poll();
    expect(ms[1].pending).toBe(false);
  });

  it("that blocks while it sleeps can be called again afterwards, also if its poll throws", () => {
    const { ms, mem, record, turn } = rig(2);
    let woken = 0;
    ms[1].sleep(() => void woken++);
    ms[1].onNode = () => {
      throw new Error("of a node");
    };
    ms[0].post(1, record());
    // Host code that collects, before the callback comes.
    expect(() => ms[1].block(() => true)).toThrow("of a node");
    turn();
    ms[1].onNode = () => {};
    verifyThreads(mem);
    expect([woken, ms[0].othersBusy]).toEqual([0, 0]);
    ms[0].post(1, record());
    turn();
    expect(woken).toBe(1);
  });

  it("that leaves delivers its inbox, and can be registered again", () => {
    const { ms, record, attach, mem } = rig(3);
    const got: Addr[] = [];
    const node = record();
    ms[2].onNode = (n) => void got.push(n);
    ms[0].post(2, node);
    ms[2].acquireP();
    const thread = ms[0].threadOf(2);
    ms[2].leave();
    expect([got, ms[0].count]).toEqual([[node], 2]);
    verifyThreads(mem);
    expect(() => ms[0].post(2, node)).toThrow("threads: post to an M that has left");
    const again = attach();
    expect([again.m, ms[0].count]).toEqual([2, 3]);
    // A late report of the end of the first thread.
    expect(ms[0].died(2, thread + 1)).toBe(false);
    verifyThreads(mem);
  });

  it("that leaves while it is locked counts no longer", () => {
    const { ms, record } = rig(2, 2);
    const started: number[] = [];
    ms[1].setLocked(true);
    ms[1].leave();
    ms[0].startM = (k) => void started.push(k);
    ms[0].acquireP();
    for (let k = 0; k < 5; k++) ms[0].putTask(record());
    expect(started).toEqual([1]);
  });

  it("that leaves while it waits for a P leaves the FIFO", () => {
    const { ms, mem } = rig(4, 1);
    expect(ms.map((m) => m.acquireP())).toEqual([true, false, false, false]);
    ms[2].leave();
    expect(verifyThreads(mem).waitingMs).toBe(2);
    ms[3].leave();
    ms[1].leave();
    expect(verifyThreads(mem).waitingMs).toBe(0);
  });

  it("has figures that others can read", () => {
    const { ms } = rig(2);
    ms[0].setCounts(5, 70);
    ms[1].setCounts(3, 9);
    ms[1].setGoid(2 ** 33);
    expect([ms[0].sum("goroutines"), ms[1].sum("schedtick")]).toEqual([8, 79]);
    expect([ms[0].figure(1, "goid"), ms[0].figure(0, "goid")]).toEqual([2 ** 33, 0]);
    expect([ms[0].nextGoids(), ms[1].nextGoids(), ms[0].nextGoids()]).toEqual([0, 16, 32]);
  });
});
