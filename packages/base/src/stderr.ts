/** Writes `text`, which ends with a newline, to standard error; in a browser, to the console. */
export function writeStderr(text: string): void {
  const { process } = globalThis as { process?: { stderr?: { write(text: string): unknown } } };
  if (process?.stderr !== undefined) process.stderr.write(text);
  else console.error(text.replace(/\n$/, ""));
}
