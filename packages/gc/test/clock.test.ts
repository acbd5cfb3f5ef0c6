import { afterEach, expect, it, vi } from "vitest";
import { systemClock } from "../src/index.ts";

afterEach(() => vi.unstubAllGlobals());

it("the host's clock counts nanoseconds: since its origin, and since 1970 in whole microseconds", () => {
  vi.stubGlobal("performance", { timeOrigin: 1_700_000_000_000.25, now: () => 2000.5 });
  expect(systemClock.nanotime()).toBe(2_000_500_000);
  expect(systemClock.walltime()).toBe(1_700_000_002_000_750_000n);
});
