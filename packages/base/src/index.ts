// Errors
export {
  BoundsError,
  type BoundsKind,
  FatalError,
  isFatalError,
  isRuntimeError,
  named,
  outOfMemory,
  PlainError,
  RuntimeError,
  throwFatal,
  TypeAssertionError,
} from "./errors.ts";

// Values in error messages
export { isGenerator, kindOf, show, wrongNumber } from "./values.ts";

// Numbers
export { alignDown, alignUp, ctz32, hex, parseSize, popcount32 } from "./numbers.ts";

// Debug switches
export {
  parseSwitches,
  type SwitchErrors,
  type SwitchInfo,
  type SwitchValues,
  switchDefaults,
} from "./godebug.ts";

// The host
export { type Mark, OwnCode, type Place } from "./owncode.ts";
export { writeStderr } from "./stderr.ts";
