/** For siblings; no promise of stability. */
export { NODE_CALL, NODE_KIND, NODE_NEXT, NODE_READY, NODE_TASK } from "./runtime2.ts";
