// The loader of webpack that strips types, as esbuild-loader and swc-loader do.
import { transform } from "esbuild";

export default async function stripTypes(code) {
  return (await transform(code, { loader: "ts" })).code;
}
