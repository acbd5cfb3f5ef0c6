/**
 * The key of the method that console.log calls. Objects with internal fields show one line there, in String and in
 * JSON.stringify, not the whole scheduler. Node's inspector finds the method by this symbol, without an import of
 * Node's.
 */
export const inspectCustom: unique symbol = Symbol.for("nodejs.util.inspect.custom") as never;
