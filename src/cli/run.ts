// Finds the command, runs it, and turns what it throws into a line and an exit code.

import { nearest } from '../base/check.js';
import { packageVersion } from '../base/package-version.js';
import { columns } from './command.js';
import { commands, type ListedCommand } from './commands.js';
import { describeError, exitCodes, systemCode, UsageError } from './errors.js';

/**
 * Runs one command line.
 *
 * @param args what follows `hawser`.
 * @returns the exit code: 0 done, 1 failure, 2 wrong usage, 130 interrupted before it was done.
 */
export async function main(args: readonly string[]): Promise<number> {
  // A reader that has seen enough (`hawser gateway --json | head`) is no error of ours.
  process.stdout.on('error', (error) => {
    if (systemCode(error) !== 'EPIPE') throw error;
    process.exit(exitCodes.ok);
  });
  const [first = '--help', ...rest] = joinName(args);
  try {
    return await dispatch(first, rest);
  } catch (error) {
    const usage = error instanceof UsageError;
    const command = commands.some(({ name }) => name === first) ? ` ${first}` : '';
    process.stderr.write(
      `hawser${command}: ${describeError(error)}${usage ? ` (see "hawser${command} --help")` : ''}\n`,
    );
    return usage ? exitCodes.usage : exitCodes.failure;
  }
}

async function dispatch(first: string, rest: readonly string[]): Promise<number> {
  if (first === '--version' || first === '-v') return print(`${packageVersion()}\n`);
  if (first === '--help' || first === '-h') return print(overview());
  if (first === 'help') {
    const [name] = joinName(rest);
    return print(name === undefined ? overview() : await helpOf(name));
  }
  if (rest[0] === '--help' || rest[0] === '-h') return print(await helpOf(first));
  return (await find(first).load()).main(rest);
}

/** A command whose name is two words, the second an argument of its own on the command line, as one. */
function joinName(args: readonly string[]): readonly string[] {
  const [first, second, ...rest] = args;
  if (first === undefined || second === undefined || second.startsWith('-')) return args;
  const names = commands.map((command) => command.name);
  const joined = `${first} ${second}`;
  // A command that has others behind its name may have been meant itself.
  const meant = names.includes(joined) || (partsOf(first).length > 0 && !names.includes(first));
  return meant ? [joined, ...rest] : args;
}

/** The commands whose names are two words, of which this is the first. */
function partsOf(name: string): readonly ListedCommand[] {
  return commands.filter((command) => command.name.startsWith(`${name} `));
}

async function helpOf(name: string): Promise<string> {
  const parts = partsOf(name);
  const own = commands.find((command) => command.name === name);
  if (own !== undefined || parts.length === 0) return (await (own ?? find(name)).load()).help();
  return `Usage: hawser <command> [options]\n\nCommands:\n${list(parts)}\n\n"hawser <command> --help" tells more.\n`;
}

function list(some: readonly ListedCommand[]): string {
  return columns(some.map(({ name, summary }) => [name, summary]));
}

function find(name: string): ListedCommand {
  const found = commands.find((command) => command.name === name);
  if (found !== undefined) return found;
  const parts = partsOf(name);
  if (parts.length > 0) {
    throw new UsageError(`say which: ${parts.map((part) => part.name).join(', ')}`);
  }
  const names = commands.map((command) => command.name);
  const close = nearest(name, names);
  const hint = close === undefined ? `; there are ${names.join(', ')}` : `; did you mean "${close}"?`;
  throw new UsageError(
    name.startsWith('-') ? `unknown option ${name}` : `unknown command ${JSON.stringify(name)}${hint}`,
  );
}

function print(text: string): number {
  process.stdout.write(text);
  return exitCodes.ok;
}

function overview(): string {
  return `hawser: secure UDP sessions for Node.js gateways

Usage: hawser <command> [options]

Commands:
${list(commands)}

"hawser <command> --help" tells more. Exit codes: 0 done, 1 failure, 2 wrong usage, 130 interrupted.
`;
}
