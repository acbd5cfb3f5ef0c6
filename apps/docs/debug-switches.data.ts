// The table that the runtime's parser reads is the table that the page shows.
import { debugSwitches, type SwitchInfo } from "@gort/runtime";

declare const data: readonly SwitchInfo[];

export { data };

export default {
  load: (): readonly SwitchInfo[] => [...debugSwitches].sort((a, b) => a.name.localeCompare(b.name)),
};
