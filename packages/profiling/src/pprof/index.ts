/**
 * @gort/profiling/pprof: reading, comparing and showing profiles, of this package or of anybody else.
 */

export { printable } from "../printable.ts";
export { type DecodeOptions, decodeMessage, decodeProfile, ProfileFormatError } from "./decode.ts";
export { encodeMessage, encodeProfile } from "./encode.ts";
export { type FlameOptions, flameGraphHTML } from "./flame.ts";
export {
  type PprofData,
  type PprofFunction,
  type PprofLabel,
  type PprofLine,
  type PprofLocation,
  type PprofMapping,
  type PprofSample,
  profileTotal,
  type SampleList,
  sampleIndex,
  type ValueType,
} from "./model.ts";
export {
  deltaProfile,
  diffProfiles,
  filterProfile,
  mergeProfiles,
  type ProfileFilter,
  scaleProfile,
} from "./ops.ts";
export {
  type FunctionTotal,
  formatValue,
  functionTotals,
  type ReportOptions,
  scaleValue,
  topText,
  tracesText,
  treeText,
} from "./report.ts";
