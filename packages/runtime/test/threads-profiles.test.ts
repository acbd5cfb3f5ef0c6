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
