// What a command is, and its help.

import { type Option, type OptionSet, optionName, readOptions, type Values } from './options.js';

/** How a command is declared. */
export interface CommandDefinition<O extends OptionSet> {
  /** Two words for one of several with the same first: `sync push`. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What more the help says: paragraphs, each a string. */
  readonly details: readonly string[];
  readonly options: O;
  /** What stands for its one operand in the help, in brackets if it may be left out: `[NAME]`; without, it takes none. */
  readonly operand?: string;
  /** @param operand '' where there is none, or it was left out. @returns the exit code. */
  run(values: Values<O>, operand: string): Promise<number>;
}

/** A command whose options are its own affair. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  help(): string;
  /** @param args what follows the name of the command. @returns the exit code. */
  main(args: readonly string[]): Promise<number>;
}

export function defineCommand<O extends OptionSet>(definition: CommandDefinition<O>): Command {
  const help = (): string => helpOf(definition);
  return {
    name: definition.name,
    summary: definition.summary,
    help,
    main: async (args) => {
      const line = readOptions(definition.options, args, definition.operand);
      if (line !== undefined) return definition.run(line.values, line.operand);
      process.stdout.write(help());
      return 0;
    },
  };
}

const helpColumns = 100;

function helpOf({ name, summary, details, options, operand }: CommandDefinition<OptionSet>): string {
  const shown = Object.entries(options).filter(([, option]) => !option.hidden);
  const rows: (readonly [string, string])[] = shown.map(([key, option]) => [
    `${option.letter === undefined ? '' : `-${option.letter}, `}--${optionName(key)}${option.placeholder === undefined ? '' : ` ${option.placeholder}`}`,
    helpText(option),
  ]);
  rows.push(['--help', 'show this']);
  const paragraphs = [
    `hawser ${name}: ${summary}`,
    `Usage: hawser ${name} ${operand === undefined ? '' : `${operand} `}[options]`,
    ...details.map((text) => wrap(text, helpColumns).join('\n')),
    `Options:\n${columns(rows)}`,
  ];
  return `${paragraphs.join('\n\n')}\n`;
}

function helpText({ help, defaultText }: Option<unknown>): string {
  return defaultText === undefined ? help : `${help} (default: ${defaultText})`;
}

/** Two columns, the second wrapped. */
export function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows
    .map(([left, right]) => {
      const lines = wrap(right, helpColumns - width - 4);
      return lines.map((line, index) => `  ${(index === 0 ? left : '').padEnd(width)}  ${line}`).join('\n');
    })
    .join('\n');
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
