import { gomaxprocs } from "@gort/runtime";
import { setGCPercent, setMemoryLimit } from "@gort/runtime/debug";

export default function* main() {
  console.log(
    JSON.stringify({ gogc: setGCPercent(-1), limit: Number(setMemoryLimit(-1)), procs: gomaxprocs(0) }),
  );
}
