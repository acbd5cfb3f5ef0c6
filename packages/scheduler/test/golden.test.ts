import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createTestScheduler, verifyScheduler } from "../src/testing.ts";
import { show } from "./golden/program.ts";
import { programs } from "./golden/programs.ts";

const dir = fileURLToPath(new URL("./golden", import.meta.url));
const names = readdirSync(dir)
  .filter((f) => f.endsWith(".go"))
  .map((f) => f.slice(0, -3));

describe("programs recorded from Go", () => {
  it("each have a counterpart here", () => {
    expect(Object.keys(programs).sort()).toEqual(names.sort());
  });

  for (const name of names) {
    it(`prints what Go printed: ${name}`, () => {
      const s = createTestScheduler();
      let out = "";
      const println = (...values: unknown[]) => {
        out += `${values.map(show).join(" ")}\n`;
      };
      s.runMain(() => programs[name](println, () => s.clock.now()));
      expect(out).toBe(readFileSync(`${dir}/${name}.txt`, "utf8"));
      verifyScheduler(s);
    });
  }
});
