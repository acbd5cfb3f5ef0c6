/** What a program prints and serializes first: one line each, and nothing of the runtime's insides. */
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  array,
  bytes,
  complex128,
  createRuntime,
  int,
  int64,
  pointer,
  type Runtime,
  recvCase,
  slice,
  string,
  struct,
  uint8,
  version,
} from "../src/index.ts";

let rt: Runtime;
beforeAll(() => {
  rt = createRuntime({ maxMemory: 64 * 2 ** 20, stderr: () => {} });
});
afterAll(() => rt.close());

const P = struct("P", { x: int, name: string });

describe("JSON.stringify", () => {
  it("writes the fields of a Ref and the elements of a slice", () => {
    expect(JSON.stringify(rt.newObject(P, { x: 1, name: "n" }))).toBe('{"x":1,"name":"n"}');
    expect(JSON.stringify(rt.sliceOf(int, [1, 2, 3]))).toBe("[1,2,3]");
    expect(JSON.stringify({ list: rt.types.nilSlice(int), ps: rt.sliceOf(P, [{ x: 2 }]) })).toBe(
      '{"list":null,"ps":[{"x":2,"name":""}]}',
    );
  });

  it("follows pointers, and writes bytes and large integers as Go and JSON can have them", () => {
    const Node = struct("Node", {
      big: int64,
      small: int64,
      raw: bytes,
      c: complex128,
      a: array(uint8, 2),
      s: slice(uint8),
      get next() {
        return pointer(Node);
      },
    });
    const last = rt.newObject(Node, { big: 2n ** 60n, small: -5n, s: null });
    const first = rt.newObject(Node, { raw: new Uint8Array([1, 2, 255]), a: [1, 2], next: last });
    first.s = rt.toBytes("text");
    const zero = { re: 0, im: 0 };
    expect(JSON.parse(JSON.stringify(first))).toEqual({
      ...{ big: 0, small: 0, raw: "AQL/", c: zero, a: [1, 2], s: "dGV4dA==" },
      next: { big: "1152921504606846976", small: -5, raw: null, c: zero, a: [0, 0], s: null, next: null },
    });
    last.next = first;
    expect(() => JSON.stringify(first)).toThrow("types: JSON of a cycle through *Node");
  });

  it("refuses what was released", () => {
    const p = rt.newObject(P);
    const s = rt.sliceOf(int, [1]);
    p.release();
    s.release();
    expect(() => JSON.stringify(p)).toThrow("types: use of a released Ref<P>");
    expect(() => JSON.stringify(s)).toThrow("types: use of a released slice of int");
    expect([String(p), String(s)]).toEqual(["Ref<P> (released)", "[]int (released)"]);
  });
});

describe("console.log and String", () => {
  it("show a Ref and a slice by their values", () => {
    const p = rt.newObject(P, { x: 1, name: "n" });
    expect(inspect(p)).toBe("Ref<P> { x: 1, name: 'n' }");
    expect(String(p)).toBe(`Ref<P> 0x${p.$addr.toString(16)}`);
    const s = rt.sliceOf(int, [1, 2]);
    expect([inspect(s), String(s)]).toEqual(["[]int(len 2, cap 2) [ 1, 2 ]", "[]int(len 2, cap 2)"]);
  });

  it("show a channel by its length, capacity and end", () => {
    const c = rt.makeChan<number>(2);
    c.trySend(5);
    expect([inspect(c), String(c), JSON.stringify(c)]).toEqual([
      "chan(len 1, cap 2)",
      "chan(len 1, cap 2)",
      '{"len":1,"cap":2,"closed":false}',
    ]);
    c.close();
    expect(inspect({ c })).toBe("{ c: chan(len 1, cap 2, closed) }");
  });

  it("show an operation by its kind", () => {
    const c = rt.makeChan<number>();
    expect(inspect(c.send(1))).toBe("operation(chan send)");
    expect(inspect(c.recv())).toBe("operation(chan receive)");
    expect(inspect(rt.sleep(1))).toBe("operation(sleep)");
    expect(JSON.stringify(rt.select([recvCase(c)]))).toBe('{"operation":"select"}');
  });

  it("show a runtime by its version and figures, also after its close", () => {
    const own = createRuntime({ maxMemory: 64 * 2 ** 20, stderr: () => {} });
    expect(inspect(own)).toMatch(/^Runtime\(.+, GOMAXPROCS \d+, 0 goroutines, heap \d+\.\d MiB\)$/);
    expect(inspect(own).startsWith(`Runtime(${version()}, `)).toBe(true);
    const json = JSON.parse(JSON.stringify(own)) as Record<string, unknown>;
    expect(json).toMatchObject({
      version: version(),
      gomaxprocs: own.gomaxprocs(),
      goroutines: 0,
      closed: false,
    });
    own.close();
    expect(String(own)).toBe(`Runtime(${version()}, closed)`);
    expect(JSON.parse(JSON.stringify(own))).toMatchObject({ closed: true, heapBytes: 0 });
  });
});
