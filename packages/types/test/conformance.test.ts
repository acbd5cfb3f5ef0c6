import { join } from "node:path";
import { conformance } from "../../../vitest.conformance.ts";

conformance(join(import.meta.dirname, "../conformance"));
