export default function* main() {
  const e = new Error("no stack");
  Object.defineProperty(e, "stack", {
    get() {
      throw new Error("a formatter that fails");
    },
  });
  throw e;
}
