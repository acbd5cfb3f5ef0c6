// The page shows the table that the runtime's parser reads.
import { debugSwitches, type SwitchInfo } from "@gort/runtime";

declare const data: readonly SwitchInfo[];

export { data };

export default {
  load: (): readonly SwitchInfo[] => [...debugSwitches].sort((a, b) => a.name.localeCompare(b.name)),
};
