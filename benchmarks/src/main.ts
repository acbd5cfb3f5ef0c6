// The command: npm run bench -- [--only REGEX] [--quick] [--peers] [--json FILE] [--list]
import { bench } from "./cli.ts";
import { gortSide, goSide, npmSides, oneThreadSide, v8Side } from "./sides.ts";

process.exitCode = await bench(process.argv, {
  gort: gortSide,
  go: () => goSide(),
  oneThread: oneThreadSide,
  v8: v8Side,
  npm: npmSides,
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  terminal: process.stderr.isTTY === true,
});
