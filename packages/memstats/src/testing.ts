/**
 * Tools to test a StatsSource with. `checkIdentities` checks every relation that holds in each snapshot of a Go
 * program. `modelSource` is a small heap with a seed that allocates and collects by itself.
 */

// Relations between the fields
export {
  CLASS_SIZES,
  checkIdentities,
  IDENTITIES,
  type Identity,
  type IdentityContext,
} from "./identities.ts";

// Models
export { type ModelSource, modelMetrics, modelSource } from "./model.ts";
