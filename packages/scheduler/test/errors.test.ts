import { describe, expect, it } from "vitest";
import { FatalError, isFatalError, TypeAssertionError } from "../src/index.ts";

describe("errors", () => {
  it("are recognised by brand", () => {
    expect(isFatalError(new FatalError("fatal", "TEST", "x"))).toBe(true);
    expect(new TypeAssertionError("a is b").message).toBe("interface conversion: a is b");
    expect(isFatalError(new Error("x"))).toBe(false);
  });
});
