import { describe, expect, it } from "vitest";
import { defaultProcs } from "../src/processors.ts";

const mount = (root: string, point: string, type: string, options: string) =>
  `25 1 0:22 ${root} ${point} rw,nosuid shared:4 - ${type} cgroup rw,${options}`;

/** A system of which only these files exist. */
const procs = (files: Record<string, string>, count = 64) => defaultProcs(count, (path) => files[path]);

const version2 = (max: string, path = "/", root = "/") => ({
  "/proc/self/cgroup": `0::${path}\n`,
  "/proc/self/mountinfo": `${mount("/", "/", "ext4", "")}\n${mount(root, "/sys/fs/cgroup", "cgroup2", "")}\n`,
  "/sys/fs/cgroup/cpu.max": `${max}\n`,
});

describe("the default of GOMAXPROCS", () => {
  it("is the number of processors where no control group limits it", () => {
    expect(procs({})).toBe(64);
    expect(procs(version2("max 100000"))).toBe(64);
    expect(procs(version2(""))).toBe(64);
    expect(procs({ "/proc/self/cgroup": "0::/\n" })).toBe(64);
    expect(procs({}, 1000)).toBe(256);
  });

  it("is the limit of the container, rounded up and at least 2", () => {
    expect(procs(version2("400000 100000"))).toBe(4);
    expect(procs(version2("350000 100000"))).toBe(4);
    expect(procs(version2("50000 100000"))).toBe(2);
    expect(procs(version2("400000 100000"), 3)).toBe(3);
    expect(procs(version2("50000 100000"), 1)).toBe(1);
  });

  it("is that of the group below the mount point", () => {
    const files = {
      ...version2("max 100000", "/pod/my app"),
      "/sys/fs/cgroup/pod/my app/cpu.max": "300000 100000\n",
    };
    expect(procs(files)).toBe(3);
    expect(procs(version2("300000 100000", "/pod/app", "/pod/app"))).toBe(3);
    // Another part of the hierarchy is mounted.
    expect(procs(version2("300000 100000", "/pod/app", "/other"))).toBe(64);
  });

  it("comes from the controller cpu of version 1, if it has the process", () => {
    const files = {
      "/proc/self/cgroup": "12:pids:/x\n4:cpu,cpuacct:/docker/1\n0::/\n",
      "/proc/self/mountinfo": [
        mount("/", "/sys/fs/cgroup/unified", "cgroup2", ""),
        mount("/", "/sys/fs/cgroup/pids", "cgroup", "pids"),
        mount("/docker/1", "/sys/fs/cgroup/cpu\\040all", "cgroup", "cpu,cpuacct"),
      ].join("\n"),
      "/sys/fs/cgroup/cpu all/cpu.cfs_quota_us": "600000\n",
      "/sys/fs/cgroup/cpu all/cpu.cfs_period_us": "100000\n",
    };
    expect(procs(files)).toBe(6);
    expect(procs({ ...files, "/sys/fs/cgroup/cpu all/cpu.cfs_quota_us": "-1\n" })).toBe(64);
  });
});
