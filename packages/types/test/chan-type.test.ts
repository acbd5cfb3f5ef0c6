import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { array, ChanType, identical, int, pointer, slice, struct, type Type } from "../src/index.ts";
import { type ChanHandle, perTypeOf } from "../src/internal.ts";
import { describeType, internType, typeFromDescription } from "../src/type-identity.ts";
import { hostile, testHeap, thrown } from "./kit.ts";

const ints = new ChanType(int);
const Server = struct("Server", { n: int, jobs: ints, list: array(new ChanType(ints), 2) });

/** A type that contains itself. */
const Message = struct("Message", {
  get reply() {
    return new ChanType(Message);
  },
});

/** A handle that knows its address only. */
class Handle implements ChanHandle {
  released = 0;
  readonly addr: Addr;
  constructor(addr: Addr) {
    this.addr = addr;
  }
  release(): void {
    this.released++;
  }
  toJSON(): unknown {
    return { at: this.addr };
  }
}

/** A heap whose channels are the addresses from 64 on. */
function heapWithChans() {
  const { heap, types } = testHeap();
  const asked: string[] = [];
  const opened: Handle[] = [];
  perTypeOf(types).chans = () => ({
    of: (elem) => {
      asked.push(elem.name);
      return {
        open: (addr) => {
          opened.push(new Handle(addr));
          return opened[opened.length - 1];
        },
        take: (v) => {
          if (v instanceof Handle) return v;
          throw new TypeError("no handle");
        },
        addrOf: (h) => (h as Handle).addr,
      };
    },
  });
  return { heap, types, asked, opened };
}

describe("the type of a channel", () => {
  it("is a pointer of 8 bytes, with the name that Go gives it", () => {
    expect([ints.kind, ints.size, ints.align, ints.ptrdata, ints.hasPointers]).toEqual([
      "chan",
      8,
      8,
      8,
      true,
    ]);
    expect([...ints.pointerMask()]).toEqual([1]);
    expect(Server.fields.map((f) => f.offset)).toEqual([0, 8, 16]);
    expect([Server.size, Server.ptrdata, ...Server.pointerMask()]).toEqual([32, 32, 0b1110]);
    const names = [
      ints,
      new ChanType(ints),
      slice(ints),
      new ChanType(pointer(Server)),
      Message.field("reply").type,
    ];
    expect(names.map(String)).toEqual([
      "chan int",
      "chan chan int",
      "[]chan int",
      "chan *Server",
      "chan Message",
    ]);
    const loop: Type = new ChanType(() => loop);
    expect(loop.name).toBe("chan ...");
  });

  it("is frozen, and needs an element type", () => {
    expect([ints, ChanType, ChanType.prototype].map(Object.isFrozen)).toEqual([true, true, true]);
    expect(() => new (class extends ChanType {})(int)).toThrow("types: classes of types can't be extended");
    expect(() => new ChanType(hostile(5))).toThrow("types: chan needs an element type (got number)");
    expect(() => new ChanType(hostile(() => 5)).elem).toThrow(
      "types: chan needs an element type (got number)",
    );
    const own: ChanType = new ChanType((): Type => own.elem);
    expect(() => own.elem).toThrow("types: chan needs its own element type to give it");
  });

  it("is identical to another one if the elements are, and to no other kind of type", () => {
    expect(identical(ints, new ChanType(() => int))).toBe(true);
    expect(identical(new ChanType(ints), new ChanType(new ChanType(int)))).toBe(true);
    for (const other of [
      new ChanType(slice(int)),
      pointer(int),
      slice(int),
      new ChanType(ints),
      int,
    ] as Type[]) {
      expect([other.name, identical(ints, other), identical(other, ints)]).toEqual([
        other.name,
        false,
        false,
      ]);
    }
  });

  it("has one description on all threads, from which a thread makes its own", () => {
    expect(describeType(ints)).toBe('[["chan",1],"int"]');
    expect(describeType(Message)).toBe('[["struct","Message",["reply",1]],["chan",0]]');
    for (const t of [ints, Server, Message, slice(new ChanType(Message))] as Type[]) {
      expect(typeFromDescription(describeType(t))).toBe(typeFromDescription(internType(t)));
    }
    const made = typeFromDescription('[["chan",1],["chan",2],"uint16"]');
    expect([made.name, made.ptrdata, identical(made, new ChanType(ints))]).toEqual([
      "chan chan uint16",
      8,
      false,
    ]);
    for (const text of ['[["chan"]]', '[["chan",1]]', '[["chan",0,0]]', '["chan"]']) {
      expect(() => typeFromDescription(text)).toThrow("types: not the description of a type");
    }
  });
});

describe("places of channels", () => {
  it("are null at first, also in a heap without channels, which refuses others", () => {
    const { types } = testHeap();
    const s = types.newObject(Server, { n: 5 });
    expect([s.jobs, s.list.get(1)]).toEqual([null, null]);
    s.jobs = null;
    expect(() => (s.jobs = {})).toThrow("types: this heap has no channels (got chan int)");
    types.unsafe.view(Server, s.$addr).jobs = 64 as Addr;
    expect(() => s.jobs).toThrow("types: this heap has no channels (got chan int)");
  });

  it("keep the address of what they are given, as fields, elements and objects of their own", () => {
    const { types, asked } = heapWithChans();
    const [a, b] = [new Handle(64 as Addr), new Handle(128 as Addr)];
    const s = types.newObject(Server, { n: 5, jobs: a, list: [null, b] });
    expect([s.jobs, s.list.get(0), s.list.get(1)]).toEqual([a, null, b]);
    s.list.set(0, a);
    s.jobs = null;
    expect([s.jobs, s.list.get(0), s.n]).toEqual([null, a, 5]);
    const p = types.newObject(ints, b);
    expect(p.value).toEqual(b);
    const list = types.sliceOf(ints, [a, null, b]);
    expect([...list]).toEqual([a, null, b]);
    expect(types.unsafe.view(Server, s.$addr).list.get(0)).toBe(64);
    expect(asked).toEqual(["int", "chan int"]);
  });

  it("are written through the write barrier, each store once", () => {
    const { heap, types } = heapWithChans();
    const a = new Handle(64 as Addr);
    const s = types.newObject(Server, { jobs: a });
    const at = s.$addr + 8;
    s.jobs = null;
    s.list.set(1, a);
    types.unsafe.view(Server, s.$addr).jobs = 128 as Addr;
    expect(heap.stores).toEqual([
      [at, 64],
      [at, 0],
      [at + 16, 64],
      [at, 128],
    ]);
  });

  it("stay as they were if the store is refused", () => {
    const { types } = heapWithChans();
    const a = new Handle(64 as Addr);
    const s = types.newObject(Server, { jobs: a });
    for (const wrong of [undefined, 64, "x", {}, s]) {
      expect(thrown(() => (s.jobs = hostile(wrong)))).toBeInstanceOf(TypeError);
    }
    expect(s.jobs).toEqual(a);
    expect(() => (types.unsafe.view(Server, s.$addr).jobs = hostile(a))).toThrow(
      "types: value must be an address",
    );
    s.release();
    expect(() => (s.jobs = a)).toThrow("types: use of a released Ref: Server.jobs");
    expect(() => s.jobs).toThrow("types: use of a released Ref: Server.jobs");
  });

  it("find what code of the element type's declaration has stored meanwhile", () => {
    const { types } = heapWithChans();
    let clear = (): void => {};
    const Elem = struct("Elem", { n: int });
    const T = new ChanType(() => {
      clear();
      return Elem;
    });
    const place = types.newObject(T);
    const view = types.unsafe.view(T, place.$addr);
    view.value = 64 as Addr;
    clear = () => {
      view.value = 0 as Addr;
    };
    expect(place.value).toBe(null);
    view.value = 128 as Addr;
    expect(place.value).toEqual(new Handle(128 as Addr));
  });

  it("are as their handles say in JSON, which releases the handles", () => {
    const { types, opened } = heapWithChans();
    const s = types.newObject(Server, { jobs: new Handle(64 as Addr) });
    expect(JSON.stringify(s)).toBe('{"n":0,"jobs":{"at":64},"list":[null,null]}');
    expect(opened.map((h) => h.released)).toEqual([1]);
  });
});
