import { buildPackage } from "./build.ts";

export function setup(): void {
  buildPackage();
}
