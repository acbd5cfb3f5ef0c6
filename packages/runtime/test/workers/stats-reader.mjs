// Reads a runtime's statistics on a thread of its own: on request once, or many times with every relation checked.
import { parentPort, workerData } from "node:worker_threads";
import { memStatsJSON, newMemStats } from "@gort/memstats";
import { newSample } from "@gort/memstats/metrics";
import { prometheusText } from "@gort/memstats/prometheus";
import { checkIdentities } from "@gort/memstats/testing";
import { attachStats } from "@gort/runtime/attach";

const go = attachStats(workerData);
const descriptions = go.metrics.all();
const samples = descriptions.map((d) => newSample(d.Name));

const value = (s) => {
  const kind = s.Value.kind();
  if (kind === "uint64") return s.Value.uint64();
  if (kind === "float64") return s.Value.float64();
  return kind === "bad" ? "bad" : [...s.Value.float64Histogram().Counts];
};

function readOnce() {
  go.metrics.read(samples);
  return {
    memStats: memStatsJSON(go.readMemStats()),
    metrics: Object.fromEntries(samples.map((s) => [s.Name, value(s)])),
    text: prometheusText(go),
    goroutines: go.numGoroutine(),
    version: go.version(),
  };
}

// Counters that fell since the last call, and gauges that can't be.
const before = new Map();
function metricFaults() {
  go.metrics.read(samples);
  const faults = [];
  samples.forEach((s, i) => {
    const v = value(s);
    const old = before.get(s.Name);
    before.set(s.Name, v);
    const list = Array.isArray(v) ? v : [v];
    if (list.some((n) => n !== "bad" && !(n >= 0))) faults.push(`${s.Name} is ${v}`);
    if (!descriptions[i].Cumulative || old === undefined) return;
    const earlier = Array.isArray(old) ? old : [old];
    if (list.some((n, k) => n < earlier[k])) faults.push(`${s.Name} fell from ${old} to ${v}`);
  });
  return faults;
}

function readMany(count, context) {
  const broken = [];
  let previous = newMemStats();
  let now = newMemStats();
  for (let i = 0; i < count && broken.length === 0; i++) {
    go.readMemStats(now);
    broken.push(...checkIdentities(now, i === 0 ? context : { ...context, previous }));
    if (i % 10 === 0) broken.push(...metricFaults());
    [previous, now] = [now, previous];
  }
  return { broken, numGC: previous.NumGC, mallocs: previous.Mallocs };
}

parentPort.on("message", (m) => {
  if (m.close) parentPort.close();
  else if (m.count) parentPort.postMessage(readMany(m.count, m.context));
  else parentPort.postMessage(readOnce());
});
parentPort.postMessage("ready");
