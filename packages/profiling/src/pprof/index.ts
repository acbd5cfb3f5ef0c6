/**
 * @gort/profiling/pprof: reads, compares and shows profiles of this package and of every other.
 */

export { printable } from "../printable.ts";
// Reading and writing files.
export { type DecodeOptions, decodeMessage, decodeProfile, ProfileFormatError } from "./decode.ts";
export { encodeMessage, encodeProfile } from "./encode.ts";
export { type FlameOptions, flameGraphHTML } from "./flame.ts";
// The model of a file.
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
// Profiles made of profiles.
export {
  deltaProfile,
  diffProfiles,
  filterProfile,
  mergeProfiles,
  type ProfileFilter,
  scaleProfile,
} from "./ops.ts";
// Reports and flame graphs.
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
