// A chain of objects with finalizers, each of which holds the next: how many collections until all have run.
import { createRuntime, int, pointer, struct } from "@gort/runtime";

const Node = struct("Node", {
  id: int,
  get next() {
    return pointer(Node);
  },
});
const n = Number(process.argv[2]);
const rt = createRuntime({ maxMemory: 64 * 2 ** 20 });
const order = [];

function chain() {
  let head = null;
  for (let id = n - 1; id >= 0; id--) {
    const node = rt.newObject(Node, { id, next: head });
    rt.setFinalizer(node, (x) => void order.push(x.id));
    head?.release();
    head = node;
  }
  head.release();
}

await rt.main(function* () {
  chain();
  let cycles = 0;
  for (; order.length < n && cycles < 5 * n; cycles++) {
    rt.gc();
    yield* rt.sleep(20);
  }
  const sorted = order.every((id, i) => id === i);
  console.log(JSON.stringify({ ran: order.length, cycles, sorted }));
});
