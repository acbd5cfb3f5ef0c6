import { describe, expect, it } from "vitest";
import { parseSwitches } from "../src/index.ts";

const ROWS = [
  { name: "one", default: 1, meaning: "" },
  { name: "two", default: 0, meaning: "" },
] as const;

/** The values that a text gives, and the reports about it. */
function parse(text: string) {
  const said: string[] = [];
  const values = parseSwitches(ROWS, text, {
    unknown: (name) => void said.push(`unknown ${name}`),
    malformed: (name, value, kept) => void said.push(`malformed ${name}=${value}, kept ${kept}`),
  });
  return { ...values, said };
}

describe("a list of switches", () => {
  it.each([
    ["", 1, 0],
    [" , ,, ", 1, 0],
    ["one=5", 5, 0],
    ["two=1,one=0", 0, 1],
    ["one=2,one=3", 3, 0],
    [" one = 4 , two = 6 ", 4, 6],
    ["one=-7,two=+8", -7, 8],
    ["two=007", 1, 7],
    ["two=9007199254740991", 1, 9007199254740991],
  ])("%j sets what it names, the last value of several counting", (text, one, two) => {
    expect(parse(text)).toEqual({ one, two, said: [] });
  });

  it.each([
    ["three=1", "unknown three"],
    ["three", "unknown three"],
    ["toString=1", "unknown toString"],
    ["=1", "unknown "],
    ["one", "malformed one=, kept 1"],
    ["one=", "malformed one=, kept 1"],
    ["one=x", "malformed one=x, kept 1"],
    ["one=1x", "malformed one=1x, kept 1"],
    ["one=x1", "malformed one=x1, kept 1"],
    ["one=1.5", "malformed one=1.5, kept 1"],
    ["one=0x10", "malformed one=0x10, kept 1"],
    ["one=1=2", "malformed one=1=2, kept 1"],
    ["one=--1", "malformed one=--1, kept 1"],
    ["two=9007199254740992", "malformed two=9007199254740992, kept 0"],
  ])("%j changes nothing and is reported, if anything listens", (text, report) => {
    expect(parse(text)).toEqual({ one: 1, two: 0, said: [report] });
    expect(parseSwitches(ROWS, text)).toEqual({ one: 1, two: 0 });
  });

  it("keeps a value that it has given itself, if a later one is malformed", () => {
    expect(parse("one=5,one=x,two=1")).toEqual({ one: 5, two: 1, said: ["malformed one=x, kept 5"] });
  });
});
