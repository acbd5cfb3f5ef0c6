/**
 * What console.log, String and JSON.stringify show of objects whose fields are internals: one line, instead of the
 * scheduler that they lead to. Node's inspector finds its function by this symbol, which needs no module of Node.
 */
export const inspectCustom: unique symbol = Symbol.for("nodejs.util.inspect.custom") as never;
