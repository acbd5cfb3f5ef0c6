// Many short tasks on four threads, in a process of its own, on the built packages: see threads/stress.mjs.
import { expect, it } from "vitest";
import { run } from "./threads/run.ts";

const TASKS = 5000;

it("run each once while the world is stopped, the heap is collected and gomaxprocs changes at random", async () => {
  const seed = 1 + Math.floor(Math.random() * 2 ** 30);
  const { code, out, err } = await run(["stress.mjs", String(seed), String(TASKS)]);
  expect({ code, out, err }, `seed ${seed}`).toEqual({
    code: 0,
    out: `${(TASKS * (TASKS - 1)) / 2} ${TASKS}\n`,
    err: "",
  });
});
