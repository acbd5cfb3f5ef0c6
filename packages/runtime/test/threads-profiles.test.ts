// Settings, profiles and figures of programs on several threads, on the built packages: see threads/profile-cases.mjs.
import { describe, expect, it } from "vitest";
import { run } from "./threads/run.ts";

const program = (...args: string[]) => run(["profile-cases.mjs", ...args]);
const ends = (out: string) => ({ code: 0, out: `${out}\n`, err: "" });

describe("settings", () => {
  it("that a thread changes are those of all running threads", async () => {
    const first = "2,3,4,5242880,1";
    const second = "7,8,9,1048576,1";
    expect(await program("settings")).toEqual(ends(`${first} ${first}\n${second} ${second} ${second}`));
  });
});

describe("a program's own objects", () => {
  it("run no code of the program in a stop of the world: settings and labels", async () => {
    const lines = [
      "null",
      "profiling: block profile rate must be a number (got Object)",
      "profiling: mutex profile fraction must be a number (got Object)",
      "profiling: memProfileRate must be a whole number of bytes, 0 or more (got sly)",
      "runtime: maxStack must be a number of bytes (got Object)",
      '{"of":"a Map"}',
    ];
    expect(await program("hostile")).toEqual(ends(lines.join("\n")));
  });
});

describe("the heap profile", () => {
  it("has the samples of all threads, equal stacks added up, whichever thread frees and reads", async () => {
    const onMain = "allocateHere<heap<func1<goexit 100-90 4800-4320";
    const task = "allocateHere<allocate<goexit";
    expect(await program("heap")).toEqual(
      ends(
        `${task} 200-180 9600-8640; ${onMain}\n${task} 200-200 9600-9600; ${onMain}\n` +
          `worker: ${task} 200-200 9600-9600; ${onMain}`,
      ),
    );
  });

  it("loses no sample and counts none twice while three threads allocate and collect", async () => {
    // 1000 objects of each of 16, 32, 64 and 128 bytes on each thread.
    expect(await program("churn")).toEqual(ends("12000,12000,720000\ntrue"));
  });
});

describe("the block and mutex profiles", () => {
  it("have the events of all threads, equal stacks added up", async () => {
    const block = (outer: string, n: number) => {
      const stack = `chanrecv1<waitHere<${outer}<goexit ${n}`;
      return `${stack}; ${stack}`;
    };
    const mutex = "Unlock<waitHere<events<func1<goexit 5; Unlock<waitHere<wait<goexit 10";
    const all = `${block("events<func1", 5)}; ${block("wait", 10)} | ${mutex}`;
    expect(await program("events")).toEqual(ends(`${all}\nworker: ${all}`));
  });

  it("keep the events of a thread that is lost", async () => {
    const { code, out } = await program("lost");
    const waits = "chanrecv1<waitHere<lost<goexit 5";
    expect([code, out]).toEqual([
      0,
      `ERR_GORT_WORKER_LOST\nallocateHere<lost<goexit 5-0 240-0\n${waits}; ${waits}\n`,
    ]);
  });
});

describe("the goroutine profile", () => {
  it("has the goroutines of all threads, with their labels", async () => {
    const stack = '2 # labels: {"of":"2 threads"} func1 labelledWhole labelled';
    expect(await program("goroutines")).toEqual(ends(`${stack}\n3 3 true 3\nworker: ${stack}`));
  });
});

describe("labels", () => {
  it("pass to the tasks that a goroutine starts, also while they are in the queue", async () => {
    const [one, two] = ["1", "2"].map((user) => `"odd":"a \\ud800", "user":"${user}"`);
    const [first, second] = ["1", "2"].map((user) => `{odd: "a \\ud800", user: ${user}}`);
    const texts = ["1", "2"].map((user) => `[["odd","a \\ud800"],["user","${user}"]]`);
    expect(await program("inherited")).toEqual(
      ends(`{${one}},{${two}}\n${first},${second}\n${texts.join(" ")} []`),
    );
  });
});

describe("the threadcreate profile", () => {
  it("has the stacks on which workers wanted another worker", async () => {
    const { out } = await program("starts");
    expect(out).toMatch(/^\nnewm<starts<func1\n(.*\n)*newm<starter\n/);
  });
});

describe("statistics", () => {
  it("count goroutines, calls into native code and threads of all threads, also for an attached reader", async () => {
    // Main, and on each of two workers a task and three goroutines that it has started.
    const figures = (procs: number) => `9,25,${procs},3,10,true`;
    const { out, err } = await program("figures");
    expect([out.split("\n"), err]).toEqual([
      ["11", "25", figures(3), figures(3), figures(4), figures(4), ""],
      "",
    ]);
  });

  it("of memory hold all relations while four threads allocate and collect, and are exact at the end", async () => {
    // 3000 objects of each of two sizes on each of three workers.
    const sizes = "Mallocs 9000 9000\nFrees 9000 9000";
    expect(await program("memStats")).toEqual(ends(`  true true\n${sizes}\ntrue true`));
  });

  it("of CPU time have the time of all threads", async () => {
    expect(await program("cpu")).toEqual(ends("true true true\ntrue\ntrue"));
  });
});

describe("a CPU profile", () => {
  it("has the samples of all threads with their labels, also of workers that start meanwhile", async () => {
    const workers = "worker 1 gort M1 computes; worker 2 gort M2 computes";
    expect(await program("cpuProfile")).toEqual(ends(`main -; ${workers}`));
  });

  it("that a worker starts has the samples of all threads, and is the only one", async () => {
    const { code, out, err } = await program("cpuProfileOfWorker");
    expect([code, err]).toEqual([0, ""]);
    const lines = out.split("\n").sort();
    expect(lines).toEqual([
      "",
      "cpu profiling already in use",
      "true",
      "worker: cpu profiling already in use",
      expect.stringMatching(/^worker: main -; worker \d gort M\d -; worker \d gort M\d computes$/),
    ]);
  });
});
