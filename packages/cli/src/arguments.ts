/**
 * Reads the words of a command by the rules of Go's `flag` package:
 *
 *   --name value, --name=value   an option with a value, which may begin with a dash
 *   --name                       an option without a value
 *   -name                        the same with one dash
 *   --                           the end of the options
 *
 * If an option is given twice, its last value counts. The values of a list add up.
 */
import { UsageError } from "./errors.ts";

/** An option of a command. */
export interface OptionSpec {
  /** The name without dashes. */
  readonly name: string;
  /** The placeholder of the value in the help. An option without this field takes no value. */
  readonly value?: string;
  /** The values of several uses are joined by commas, and a value may be empty. */
  readonly list?: boolean;
  readonly help: string;
}

/** The words of a command, divided into options and operands. */
export interface Words {
  /** Values by option name; "" for an option without a value. */
  readonly options: ReadonlyMap<string, string>;
  readonly operands: readonly string[];
  readonly help: boolean;
}

/** Reads the `words` of a command. With `untilOperand`, all words after the first operand are operands, too. */
export function readWords(
  words: readonly string[],
  specs: readonly OptionSpec[],
  hint: string,
  untilOperand: boolean,
): Words {
  const options = new Map<string, string>();
  const operands: string[] = [];
  let help = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    if (word === "--") {
      operands.push(...words.slice(i + 1));
      break;
    }
    // A single dash is an operand: a file of that name.
    if (!word.startsWith("-") || word === "-") {
      operands.push(...words.slice(i, untilOperand ? undefined : i + 1));
      if (untilOperand) break;
      continue;
    }
    const [, dashes, name, given] = /^(--?)([^=]*)(?:=(.*))?$/s.exec(word)!;
    if ((name === "help" || word === "-h") && given === undefined) {
      help = true;
      continue;
    }
    const spec = specs.find((s) => s.name === name);
    if (spec === undefined) throw new UsageError(`unknown option ${dashes}${name}. ${hint}`);
    if (spec.value === undefined) {
      if (given !== undefined) {
        throw new UsageError(`--${name} takes no value (got ${JSON.stringify(given)})`);
      }
      options.set(name, "");
      continue;
    }
    const value = given ?? words[++i];
    if (value === undefined || (value === "" && spec.list !== true)) {
      throw new UsageError(`--${name} needs a value, --${name} ${spec.value}`);
    }
    const before = options.get(name);
    options.set(name, spec.list === true && before ? `${before},${value}` : value);
  }
  return { options, operands, help };
}
