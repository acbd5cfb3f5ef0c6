import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { defer, frame, goexit, makeChan, panic, recover } from "../src/index.ts";
import { Mutex } from "../src/sync/index.ts";
import { report } from "./kit.ts";

const fatal = () => new Mutex().unlock();

const loud = {
  toString(): string {
    throw "in String";
  },
};

/** The programs of golden/crashes/crashes.go, under the same names. */
const programs: Record<string, () => unknown> = {
  *"goexit of main with a recovered panic"() {
    yield* frame(() => {
      defer(() => recover());
      defer(() => panic("a"));
      goexit();
    });
  },
  "goexit of main while panicking"() {
    defer(goexit);
    panic("a");
  },
  "panic after goexit"() {
    defer(() => panic("late"));
    goexit();
  },
  "panic, goexit, panic"() {
    defer(() => panic("b"));
    defer(goexit);
    panic("a");
  },
  "panic, recover, goexit, panic"() {
    defer(() => panic("b"));
    defer(() => {
      recover();
      goexit();
    });
    panic("a");
  },
  "goexit, panic, recover, panic"() {
    defer(() => panic("b"));
    defer(() => recover());
    defer(() => panic("a"));
    goexit();
  },
  "three panics"() {
    defer(() => panic("c\nd"));
    defer(() => panic("b"));
    panic("a");
  },
  "a panic in a function of a deferred call"() {
    defer(() =>
      frame(() => {
        defer(() => panic("c"));
        panic("b");
      }),
    );
    panic("a");
  },
  "the same twice again"() {
    defer(() => panic(recover()));
    defer(() => panic(recover()));
    panic("a");
  },
  "the same again, then another"() {
    defer(() => panic("b"));
    defer(() => panic(recover()));
    panic("a");
  },
  "fatal error in a deferred call"() {
    defer(fatal);
    panic("a\nb");
  },
  "fatal error after two panics"() {
    defer(fatal);
    defer(() => panic("b"));
    panic("a");
  },
  "fatal error after recover"() {
    defer(() => {
      recover();
      fatal();
    });
    panic("a");
  },
  "fatal error after a panic that is over"() {
    defer(fatal);
    defer(() => recover());
    panic("a");
  },
  "fatal error after goexit"() {
    defer(fatal);
    goexit();
  },
  "fatal error after panic and goexit"() {
    defer(fatal);
    defer(goexit);
    panic("a");
  },
  "fatal error in a function of a deferred call"() {
    defer(() =>
      frame(() => {
        defer(fatal);
        panic("b");
      }),
    );
    panic("a");
  },
  "deadlock in a deferred call"() {
    defer(() => makeChan().recv());
    panic("a");
  },
  "a value whose String panics"() {
    defer(() => panic(loud));
    panic("a");
  },
  nil() {
    panic(null);
  },
};

/** Name and text of each recorded report. */
const recorded = readFileSync(new URL("./golden/crashes/crashes.txt", import.meta.url), "utf8")
  .split(/^=== /m)
  .slice(1)
  .map((part) => [part.slice(0, part.indexOf("\n")), part.slice(part.indexOf("\n") + 1, -1)] as const);

describe("programs that die, recorded from Go", () => {
  it("each have a counterpart here", () => {
    expect(Object.keys(programs)).toEqual(recorded.map(([name]) => name));
  });

  it.each(recorded)("report as Go did: %s", (name, text) => {
    expect(report(programs[name]).trimEnd()).toBe(text);
  });
});
