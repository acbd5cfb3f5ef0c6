/**
 * The default of GOMAXPROCS, as in Go: the processors that the process may use, and no more than the limit of its
 * container. The limit is that of the control group of the process (Linux):
 *
 *     /proc/self/cgroup      which group, as `ID:CONTROLLERS:PATH`: the line of version 1 with the controller `cpu`,
 *                            else the line of version 2, `0::PATH`
 *     /proc/self/mountinfo   where the hierarchy is mounted, and from which root on
 *     cpu.max                version 2: `QUOTA PERIOD`, or `max PERIOD`
 *     cpu.cfs_quota_us, cpu.cfs_period_us   version 1; a negative quota is none
 *
 * The limit is the quota over the period, rounded up and at least 2. Sources: Go 1.27, defaultGOMAXPROCS of runtime and
 * the package internal/runtime/cgroup.
 */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path/posix";

/** Reads a file; undefined if it cannot be read. */
export type ReadFile = (path: string) => string | undefined;

const readText: ReadFile = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
};

/** As many Ps as a runtime can have. It would print a line about a larger number. */
const MAX_PS = 256;

/** `count` processors, or the limit of the container if that is lower. */
export function defaultProcs(count: number, read: ReadFile = readText): number {
  const limit = cpuLimit(read) ?? MAX_PS;
  return Math.min(count, MAX_PS, Math.max(2, Math.ceil(limit)));
}

/** The limit of the control group, in processors; undefined if there is none. */
function cpuLimit(read: ReadFile): number | undefined {
  const group = cpuGroup(read("/proc/self/cgroup") ?? "");
  if (group === undefined) return undefined;
  const folder = folderOf(group, read("/proc/self/mountinfo") ?? "");
  if (folder === undefined) return undefined;
  const [quota, period] =
    group.version === 2
      ? (read(join(folder, "cpu.max")) ?? "").split(" ")
      : [read(join(folder, "cpu.cfs_quota_us")), read(join(folder, "cpu.cfs_period_us"))];
  const limit = Number(quota) / Number(period);
  return limit > 0 && Number.isFinite(limit) ? limit : undefined;
}

interface Group {
  readonly version: 1 | 2;
  readonly path: string;
}

function cpuGroup(text: string): Group | undefined {
  let found: Group | undefined;
  for (const line of text.split("\n")) {
    const [, id, controllers, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    if (controllers.split(",").includes("cpu")) return { version: 1, path };
    if (id === "0") found = { version: 2, path };
  }
  return found;
}

/** The folder of the group below the mount point of its hierarchy. */
function folderOf({ version, path }: Group, mounts: string): string | undefined {
  for (const line of mounts.split("\n")) {
    const [mount, rest] = line.split(" - ");
    if (rest === undefined) continue;
    const [type, , options = ""] = rest.split(" ");
    const fits = version === 2 ? type === "cgroup2" : type === "cgroup" && options.split(",").includes("cpu");
    if (!fits) continue;
    const [root, point] = mount.split(" ").slice(3, 5).map(unescaped);
    const below = relative(root, path);
    // A mount of another part of the hierarchy does not show the group.
    if (!below.startsWith("..")) return join(point, below);
  }
  return undefined;
}

/** Blanks and the like stand as octal numbers: `\040`. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
