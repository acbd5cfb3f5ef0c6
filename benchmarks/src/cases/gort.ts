import { createScheduler, recvCase } from "@gort/scheduler";
import { goroutineCases } from "./goroutines.ts";
export const cases = goroutineCases(createScheduler(), recvCase);
