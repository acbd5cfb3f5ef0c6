/** The records of threads: who has one, how another thread finds it, and its inboxes. */
import { createLinearMemory } from "@gort/memory";
import { beforeEach, describe, expect, it } from "vitest";
import { GCState } from "../src/gc-state.ts";
import {
  addRange,
  claimThread,
  clearRanges,
  driverThread,
  forEachRange,
  forEachThread,
  GCTHREAD_AT,
  isAttached,
  notifyThread,
  notifyWaiting,
  postTo,
  releaseThread,
  takeInbox,
  takeNotification,
  threadById,
} from "../src/gc-threads.ts";
import { MiB } from "./kit.ts";

let mem: ReturnType<typeof createLinearMemory>;
beforeEach(() => {
  mem = createLinearMemory({ maxMemory: 64 * MiB });
  GCState.create(mem);
});

const field = (t: number, offset: number): number => mem.u32[(t + offset) >>> 2];
const set = (t: number, offset: number, v: number): void => {
  mem.u32[(t + offset) >>> 2] = v;
};
const records = (): number[] => {
  const all: number[] = [];
  forEachThread(mem, (t) => all.push(t));
  return all;
};

describe("the records of threads", () => {
  it("begin with that of the driver, whose id is 0", () => {
    const driver = driverThread(mem);
    expect(driverThread(mem)).toBe(driver);
    expect(records()).toEqual([driver]);
    expect([field(driver, GCTHREAD_AT.id), isAttached(mem, driver)]).toEqual([0, true]);
    expect(threadById(mem, 0)).toBe(driver);
  });

  it("are taken by one thread at a time, and used again with a new id", () => {
    const driver = driverThread(mem);
    const [x, y] = [claimThread(mem, 5), claimThread(mem, 7)];
    expect(new Set([driver, x, y]).size).toBe(3);
    const ids = [x, y].map((t) => field(t, GCTHREAD_AT.id));
    expect(ids).toEqual([1, 2]);
    expect([x, y].map((t) => field(t, GCTHREAD_AT.thread))).toEqual([5, 7]);
    expect(ids.map((id) => threadById(mem, id))).toEqual([x, y]);
    set(x, GCTHREAD_AT.waiting, 1);
    set(x, GCTHREAD_AT.notified, 1);
    releaseThread(mem, x);
    expect([isAttached(mem, x), threadById(mem, 1)]).toEqual([false, 0]);
    expect([field(x, GCTHREAD_AT.waiting), field(x, GCTHREAD_AT.notified)]).toEqual([0, 0]);
    mem.f64[(x + GCTHREAD_AT.assistNs) >>> 3] = 99;
    expect(claimThread(mem, 9)).toBe(x);
    expect([threadById(mem, 1), threadById(mem, 3)]).toEqual([0, x]);
    expect(mem.f64[(x + GCTHREAD_AT.assistNs) >>> 3]).toBe(0);
  });

  it("are as many as there are threads, up to the memory's end", () => {
    const all = Array.from({ length: 30 }, (_, k) => claimThread(mem, k + 1));
    expect(new Set(all).size).toBe(30);
    mem.persistentAlloc = () => 0 as never;
    expect(() => {
      for (let k = 0; k < 10; k++) claimThread(mem, 1);
    }).toThrow("out of memory");
  });
});

describe("the inboxes of a thread", () => {
  it("give back all entries at once, the oldest first", () => {
    const t = claimThread(mem, 1);
    const entries = Array.from({ length: 4 }, () => mem.reserveControl(16) as number);
    expect(takeInbox(mem, t, "entries")).toBe(0);
    for (const e of entries) postTo(mem, t, "entries", e);
    postTo(mem, t, "samples", entries[3] + 0x1000);
    const got: number[] = [];
    for (let e = takeInbox(mem, t, "entries"); e !== 0; e = mem.u32[e >>> 2]) got.push(e);
    expect(got).toEqual(entries);
    expect(takeInbox(mem, t, "entries")).toBe(0);
    expect(takeInbox(mem, t, "samples")).toBe(entries[3] + 0x1000);
  });

  it("are looked at when another thread notifies; of all threads, those that wait for a cycle", () => {
    const told: number[] = [];
    const threads = { notify: (k: number) => void told.push(k) };
    const [x, y, z] = [claimThread(mem, 3), claimThread(mem, 4), claimThread(mem, 5)];
    notifyThread(mem, threads, y);
    expect([told, field(y, GCTHREAD_AT.notified), field(x, GCTHREAD_AT.notified)]).toEqual([[4], 1, 0]);
    set(x, GCTHREAD_AT.waiting, 1);
    set(z, GCTHREAD_AT.waiting, 1);
    notifyWaiting(mem, threads);
    expect(told.slice(1).sort()).toEqual([3, 5]);
    expect([x, z].map((t) => field(t, GCTHREAD_AT.notified))).toEqual([1, 1]);
    expect([x, x].map((t) => takeNotification(mem, t))).toEqual([true, false]);
  });

  it("that have begun to wait are seen by an atomic load, also where plain loads lag behind", () => {
    const told: number[] = [];
    const t = claimThread(mem, 3);
    const late = Object.create(mem, { u32: { value: mem.u32.slice() } }) as typeof mem;
    mem.kernel.store(t + GCTHREAD_AT.waiting, 1);
    notifyWaiting(late, { notify: (k) => void told.push(k) });
    expect(told).toEqual([3]);
  });

  it("learn of a notification that comes while they take the one before", () => {
    const t = claimThread(mem, 3);
    const threads = { notify() {} };
    notifyThread(mem, threads, t);
    // Plain stores of this thread are seen late by the others: after what they do next.
    const late = Object.create(mem, { u32: { value: mem.u32.slice() } }) as typeof mem;
    expect(takeNotification(late, t)).toBe(true);
    expect(field(t, GCTHREAD_AT.notified)).toBe(0);
    notifyThread(mem, threads, t);
    expect(takeNotification(mem, t)).toBe(true);
  });
});

describe("the list of a thread's stacks", () => {
  it("grows with their number, and is empty after the check", () => {
    const t = claimThread(mem, 1);
    const all = Array.from({ length: 300 }, (_, k) => [k * 16, k * 16 + 8]);
    const listed = (): number[][] => {
      const got: number[][] = [];
      forEachRange(mem, t, (lo, hi) => got.push([lo, hi]));
      return got;
    };
    for (const [lo, hi] of all) addRange(mem, t, lo, hi);
    expect(listed()).toEqual(all);
    clearRanges(mem, t);
    expect(listed()).toEqual([]);
    addRange(mem, t, 8, 16);
    expect(listed()).toEqual([[8, 16]]);
    mem.persistentAlloc = () => 0 as never;
    expect(() => {
      for (let k = 0; k < 1000; k++) addRange(mem, t, 8, 16);
    }).toThrow("out of memory");
  });
});
