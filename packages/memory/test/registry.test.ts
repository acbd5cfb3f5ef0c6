import { describe, expect, it } from "vitest";
import { collectHostUntil, dropWithReportsDue } from "../../../vitest.hostgc.ts";
import { registryOf } from "../src/registry.ts";

interface Owner {
  readonly reported: number[];
}

/** An owner, whose registry has ten dead objects. */
function owner(): Owner {
  const self: Owner = { reported: [] };
  const registry = registryOf(self, (o: Owner, held: number) => o.reported.push(held));
  for (let i = 0; i < 10; i++) registry.register({}, i);
  return self;
}

describe("a registry", () => {
  it("reports dead objects to its owner, also after a registry with due reports was dropped", async () => {
    await dropWithReportsDue(owner);
    const kept = owner();
    await collectHostUntil(() => kept.reported.length === 10);
    expect(kept.reported.sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("does not keep its owner alive", async () => {
    const dropped = (() => new WeakRef<object>(owner()))();
    await collectHostUntil(() => dropped.deref() === undefined);
  });
});
