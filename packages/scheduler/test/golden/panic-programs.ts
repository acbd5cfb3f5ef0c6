/** Programs with panics, recover and Goexit. */

import {
  afterFunc,
  defer,
  frame,
  go,
  goexit,
  makeChan,
  numGoroutine,
  panic,
  recover,
  sleep,
} from "../../src/index.ts";
import { WaitGroup } from "../../src/sync/index.ts";
import { type Body, type Program, show } from "./program.ts";

export const panicPrograms: Record<string, Program> = {
  *panics(println) {
    function* f(n: number): Body<string> {
      let r = "fine";
      yield* frame(function* () {
        defer(() => {
          println("defer", n, "of f");
          const e = recover();
          if (e !== null) r = `recovered ${show(e)}`;
        });
        if (n === 0) panic("bottom");
        if (n === 3) panic(new Error("at three"));
        const s: string = yield* f(n - 1);
        println("f", n, "got", s);
      });
      return r;
    }
    println(yield* f(2));
    println(yield* f(4));
    yield* frame(() => {
      defer(() => println("outer", recover()));
      defer(function* () {
        yield* frame(() => {
          defer(() => println("inner", recover()));
          panic("second");
        });
      });
      panic("first");
    });
    yield* frame(() => {
      defer(() => println("got", recover()));
      defer(() => panic("new"));
      panic("old");
    });
    yield* frame(() => {
      defer(() => println("again", recover()));
      defer(() => println("once", recover()));
      panic("only");
    });
    yield* frame(() => {
      for (let i = 0; i < 3; i++) defer(() => println("deferred", i));
      println("body");
    });
    println("recover outside:", recover());
  },

  *recovering(println) {
    const wg = new WaitGroup();
    function* run(name: string, f: () => Body): Body {
      wg.add(1);
      go(function* () {
        defer(() => wg.done());
        defer(() => println(name, "ends:", recover()));
        yield* frame(f);
        println(name, "goes on");
      });
      yield* wg.wait();
    }
    const say = (what: string) => defer(() => println(" ", what, recover()));

    yield* run("recovered in the frame of Goexit", function* () {
      yield* frame(() => {
        say("outer");
        say("got");
        defer(() => panic("a"));
        goexit();
      });
      println("  the caller goes on");
    });
    yield* run("recovered in a frame further out", function* () {
      yield* frame(function* () {
        say("got");
        yield* frame(() => {
          defer(() => panic("b"));
          goexit();
        });
        println("  not reached");
      });
      println("  not reached");
    });
    yield* run("recovered inside of a deferred call", function* () {
      say("then");
      defer(function* () {
        yield* frame(() => {
          say("got");
          panic("c");
        });
        println("  the deferred call goes on");
      });
      goexit();
    });
    yield* run("interrupted twice", function* () {
      say("third");
      say("second");
      defer(() => panic("e"));
      say("first");
      defer(() => panic("d"));
      goexit();
    });
    yield* run("a panic replaces the one that interrupted", function* () {
      say("second");
      say("first");
      defer(() => panic("new"));
      defer(() => panic("old"));
      goexit();
    });
    yield* run("Goexit while panicking", function* () {
      say("then");
      defer(goexit);
      panic("f");
    });
    yield* run("Goexit after recover", function* () {
      say("then");
      defer(() => {
        println("  got", recover());
        goexit();
      });
      panic("g");
    });
    yield* run("Goexit twice", function* () {
      say("then");
      defer(goexit);
      goexit();
    });
    const gotAnd = () =>
      defer(() => {
        println("  got", recover());
        println("  and", recover());
      });
    yield* run("the same value again", function* () {
      gotAnd();
      defer(() => panic(recover()));
      panic("h");
    });
    yield* run("another value", function* () {
      gotAnd();
      defer(() => {
        println("  first", recover());
        panic("j");
      });
      panic("i");
    });
    yield* run("a panic while another is recovered", function* () {
      say("last");
      defer(function* () {
        println("  outer", recover());
        yield* frame(() => {
          say("inner");
          panic("l");
        });
        println("  and", recover());
      });
      panic("k");
    });
    yield* run("nil", function* () {
      say("got");
      panic(null);
    });
    yield* run("a deferred nil", function* () {
      say("got");
      defer(null as never);
      defer(() => println("  before it"));
      println("  the body");
    });
    yield* run("a value whose String panics", function* () {
      const loud = {
        toString(): string {
          throw new Error("toString was called");
        },
      };
      defer(() => println("  got the value", recover() === loud));
      panic(loud);
    });
    yield* run("deferred calls that wait", function* () {
      say("got");
      defer(function* () {
        const done = makeChan<boolean>();
        go(function* () {
          defer(() => done.close());
          defer(() => println("  the other got", recover()));
          defer(() => sleep(1));
          panic("n");
        });
        yield* done.recv();
        println("  waited");
      });
      defer(function* () {
        yield* sleep(1);
        panic("m2");
      });
      panic("m1");
    });
    const fired = makeChan<boolean>();
    afterFunc(1, () => {
      defer(() => fired.close());
      defer(() => println("timer got", recover()));
      defer(() => panic("o"));
      goexit();
    });
    yield* fired.recv();
    println("done", numGoroutine());
  },

  *goexit(println) {
    function* inner(): Body {
      yield* frame(() => {
        defer(() => println("inner deferred"));
        goexit();
      });
      println("not reached");
    }
    const wg = new WaitGroup();
    wg.add(1);
    go(function* () {
      defer(() => wg.done());
      defer(() => println("recover:", recover()));
      defer(() => println("outer deferred"));
      yield* inner();
      println("not reached either");
    });
    yield* wg.wait();
    wg.add(1);
    go(() => {
      defer(() => wg.done());
      defer(() => println("then", recover()));
      defer(function* () {
        yield* frame(() => {
          defer(() => println("stopped", recover()));
          panic("while exiting");
        });
      });
      goexit();
    });
    yield* wg.wait();
    println("done", numGoroutine());
  },
};
