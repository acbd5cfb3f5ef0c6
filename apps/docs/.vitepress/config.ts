import { defineConfig } from "vitepress";

const guide = [
  { text: "Getting started", link: "/getting-started" },
  { text: "Use all processors: tasks and threads", link: "/tasks" },
  { text: "Use contexts, groups and streams", link: "/contexts-and-streams" },
  { text: "Use locks and atomic values", link: "/locks" },
  { text: "Handle deadlocks", link: "/deadlocks" },
  { text: "Keep objects in the heap", link: "/memory" },
  { text: "Know what another thread sees", link: "/memory-model" },
  { text: "Know how far threads scale", link: "/scaling" },
  { text: "Allocate memory by hand", link: "/allocator" },
  { text: "Take a profile", link: "/profiling" },
  { text: "Differences from Go", link: "/differences" },
  { text: "Read statistics and metrics", link: "/statistics" },
  { text: "Set debug switches", link: "/debug-switches" },
  { text: "Look up an error", link: "/errors" },
  { text: "Benchmarks", link: "/benchmarks" },
];

export default defineConfig({
  title: "gort",
  description:
    "Go's runtime in TypeScript: goroutines, channels, an off-heap garbage-collected memory and Go's introspection",
  lang: "en",
  cleanUrls: true,
  lastUpdated: false,
  themeConfig: {
    nav: [{ text: "Guide", link: "/getting-started" }],
    sidebar: [{ text: "Guide", items: guide }],
    outline: [2, 3],
    search: { provider: "local" },
    socialLinks: [{ icon: "github", link: "https://github.com/gort-runtime/gort" }],
    editLink: { pattern: "https://github.com/gort-runtime/gort/edit/main/apps/docs/:path" },
    footer: { message: "BSD-3-Clause" },
  },
});
