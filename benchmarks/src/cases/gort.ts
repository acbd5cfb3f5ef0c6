import type { Case } from "../child.ts";

export const cases: Record<string, Case> = {};
