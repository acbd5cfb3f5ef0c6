import { describe, expect, it } from "vitest";
import type { HChan } from "../src/internal.ts";
import { run } from "./kit.ts";

describe("a large channel", () => {
  it("keeps its order when the ring grows while its oldest value is in the middle", () => {
    run(function* (s) {
      const c = s.makeChan<number>(4096);
      let next = 0;
      let taken = 0;
      for (let i = 0; i < 1024; i++) yield* c.send(next++);
      for (let i = 0; i < 512; i++) expect(yield* c.recv()).toBe(taken++);
      for (let i = 0; i < 513; i++) yield* c.send(next++);
      expect(c.length).toBe(1025);
      while (c.length > 0) expect(yield* c.recv()).toBe(taken++);
      expect(taken).toBe(next);
    });
  });

  it("holds no value that was received, in the ring or beside it", () => {
    run(function* (s) {
      const c = s.makeChan<object | undefined>(2);
      const buf = () => (c as unknown as HChan<object>).buf.filter((v) => v !== undefined);
      yield* c.send({});
      yield* c.send({});
      // The waiting sender's value moves to the ring when a receiver takes one.
      s.go(function* () {
        yield* c.send({});
      });
      yield* s.gosched();
      yield* c.recv();
      expect(buf()).toHaveLength(2);
      yield* c.recv();
      yield* c.recv();
      expect(c.length).toBe(0);
      expect(buf()).toHaveLength(0);
    });
  });
});
