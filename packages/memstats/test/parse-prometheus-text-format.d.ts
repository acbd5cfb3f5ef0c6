/** The package has no types of its own. Numbers are text, as they stand in what was parsed. */
declare module "parse-prometheus-text-format" {
  interface Metric {
    labels?: Record<string, string>;
    value?: string;
    quantiles?: Record<string, string>;
    buckets?: Record<string, string>;
    sum?: string;
    count?: string;
  }
  interface Family {
    name: string;
    help: string;
    type: "COUNTER" | "GAUGE" | "HISTOGRAM" | "SUMMARY" | "UNTYPED";
    metrics: Metric[];
  }
  /** undefined for an empty text. */
  export default function parse(text: string): Family[] | undefined;
}
