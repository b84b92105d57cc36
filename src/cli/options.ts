// Options of commands: declared once, with type, default and help; read by node:util's parseArgs.

import { readFileSync } from 'node:fs';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { formatAddress, parseAddress } from '../base/address.js';
import { nearest } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { parseKey, type ServerKey } from '../token/server-key.js';
import { systemReason, UsageError } from './errors.js';

/** What texts an option takes, and what they mean. */
export interface Kind<T> {
  /** What stands for the value in the help: `N`, `HOST:PORT`. */
  readonly placeholder: string;
  /** @throws Error whose message completes "--option: ". */
  parse(text: string): T;
}

/** One option of a command. */
export interface Option<T> {
  /** undefined for a flag, which has no value. */
  readonly placeholder: string | undefined;
  readonly help: string;
  readonly defaultText: string | undefined;
  /** Left out of the help: for the processes that the command starts itself. */
  readonly hidden: boolean;
  /** A letter that stands for its name: `-w`. */
  readonly letter?: string;
  /** @param given the texts in the order of the command line; empty when the option was not given. */
  read(given: readonly string[]): T;
}

/** The options of a command by their names in the program: `maxPeers` is `--max-peers`. */
export type OptionSet = Readonly<Record<string, Option<unknown>>>;

/** What the options of a set are once read. */
export type Values<O extends OptionSet> = {
  readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never;
};

// ---- Declaring -----------------------------------------------------------------------------------------------------

/** An option without a value: false unless given. */
export function flag(help: string): Option<boolean> {
  return {
    placeholder: undefined,
    help,
    defaultText: undefined,
    hidden: false,
    read: (given) => given.length > 0,
  };
}

/** An option that may be left out. */
export function optional<T>(kind: Kind<T>, help: string): Option<T | undefined> {
  return {
    placeholder: kind.placeholder,
    help,
    defaultText: undefined,
    hidden: false,
    read: (given) => last(given, kind),
  };
}

/** An option that must be given. */
export function required<T>(kind: Kind<T>, help: string): Option<T> {
  return {
    placeholder: kind.placeholder,
    help,
    defaultText: undefined,
    hidden: false,
    read: (given) => {
      const value = last(given, kind);
      if (value === undefined) throw new Error('must be given');
      return value;
    },
  };
}

/** An option with a default, given as the text that a user would write. */
export function withDefault<T>(kind: Kind<T>, fallback: string, help: string): Option<T> {
  return {
    placeholder: kind.placeholder,
    help,
    defaultText: fallback,
    hidden: false,
    read: (given) => last(given, kind) ?? kind.parse(fallback),
  };
}

/** An option that may be given several times, or once with commas between the values. */
export function list<T>(kind: Kind<T>, help: string): Option<readonly T[]> {
  return {
    placeholder: `${kind.placeholder},...`,
    help,
    defaultText: undefined,
    hidden: false,
    read: (given) => given.flatMap((text) => text.split(',').map((each) => kind.parse(each.trim()))),
  };
}

/** Leaves an option out of the help. */
export function hidden<T>(option: Option<T>): Option<T> {
  return { ...option, hidden: true };
}

/** Lets an option also be given by one letter, behind one dash. */
export function letter<T>(given: string, option: Option<T>): Option<T> {
  return { ...option, letter: given };
}

function last<T>(given: readonly string[], kind: Kind<T>): T | undefined {
  const text = given.at(-1);
  return text === undefined ? undefined : kind.parse(text);
}

// ---- Kinds of values -----------------------------------------------------------------------------------------------

function wrong(text: string, rule: string): Error {
  return new Error(`must be ${rule}; got ${JSON.stringify(text)}`);
}

/** A whole number from `min` to `max`. */
export function integer(min: number, max: number): Kind<number> {
  return {
    placeholder: 'N',
    parse: (text) => {
      const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
      if (value >= min && value <= max) return value;
      throw wrong(text, `a whole number from ${min} to ${max}`);
    },
  };
}

/** A number from `min` to `max`, with or without a fraction. */
export function decimal(min: number, max: number, placeholder = 'N'): Kind<number> {
  return {
    placeholder,
    parse: (text) => {
      const value = /^[+-]?(?:\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
      if (value >= min && value <= max) return value;
      throw wrong(text, `a number from ${min} to ${max}`);
    },
  };
}

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A duration such as `500ms`, `15s`, `10m`, `1h`, `1d`, in milliseconds; a bare number is seconds. */
export function duration(minMs: number, maxMs: number): Kind<number> {
  return {
    placeholder: 'TIME',
    parse: (text) => {
      const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text);
      const value =
        match === null ? Number.NaN : Math.round(Number(match[1]) * (unitMs[match[2] ?? 's'] ?? 1));
      if (value >= minMs && value <= maxMs) return value;
      throw wrong(text, `a duration such as 500ms, 15s, 10m or 1h, from ${minMs} ms to ${maxMs} ms`);
    },
  };
}

/** One of a few words. */
export function choice<const T extends string>(words: readonly T[]): Kind<T> {
  return {
    placeholder: words.join('|'),
    parse: (given) => {
      const found = words.find((word) => word === given);
      if (found !== undefined) return found;
      throw wrong(given, words.join(', ').replace(/, (?=[^,]*$)/, ' or '));
    },
  };
}

/** Any text. */
export function text(placeholder: string): Kind<string> {
  return { placeholder, parse: (given) => given };
}

/** A text of 1 to `maxBytes` bytes of UTF-8. */
export function name(maxBytes: number): Kind<string> {
  return {
    placeholder: 'NAME',
    parse: (given) => {
      if (given !== '' && Buffer.byteLength(given) <= maxBytes) return given;
      throw wrong(given, `a text of 1 to ${maxBytes} bytes`);
    },
  };
}

/** An IP address with a port; the value is its canonical text. */
export function address(placeholder = 'HOST:PORT'): Kind<string> {
  return {
    placeholder,
    parse: (given) => {
      try {
        return formatAddress(parseAddress(given));
      } catch {
        throw wrong(given, 'an IP address and a port such as 192.0.2.1:4433 or [2001:db8::1]:4433');
      }
    },
  };
}

/** An unsigned 64-bit number, decimal or hexadecimal. */
export const u64: Kind<bigint> = {
  placeholder: 'ID',
  parse: (given) => {
    const value = /^(?:\d{1,20}|0[xX][\da-fA-F]{1,16})$/.test(given) ? BigInt(given) : -1n;
    if (value >= 0n && value < 2n ** 64n) return value;
    throw wrong(given, 'a number from 0 to 2^64 - 1, decimal or 0x and hexadecimal');
  },
};

/** Text as it stands, `@FILE` for the content of a file, `-` for standard input. */
export function content(placeholder: string): Kind<Buffer> {
  return {
    placeholder,
    parse: (given) => {
      if (given === '-') return readFileSync(0);
      return given.startsWith('@') ? readNamedFile(given.slice(1)) : Buffer.from(given);
    },
  };
}

/** A server key in its text form, or `@FILE`. A key on a command line can be seen by other users of the machine. */
export const serverKey: Kind<ServerKey> = {
  placeholder: 'KEY|@FILE',
  parse: (given) => parseServerKey(given.startsWith('@') ? readNamedFile(given.slice(1)).toString() : given),
};

/** @throws Error that does not repeat the text: it may be a key with a slip in it. */
export function parseServerKey(given: string): ServerKey {
  try {
    return parseKey(given.trim());
  } catch {
    throw new Error(
      'not a server key of the form hawser-key-1:<id>:<43 characters>; "hawser keygen" makes one',
    );
  }
}

/** A size in bytes, or a range of sizes. */
export interface SizeRange {
  readonly min: number;
  readonly max: number;
}

/** `100`, or `64-200` for any size in between. */
export function sizeRange(min: number, max: number): Kind<SizeRange> {
  return {
    placeholder: 'B|A-B',
    parse: (given) => {
      const [from = Number.NaN, to = from] = /^\d+(?:-\d+)?$/.test(given) ? given.split('-').map(Number) : [];
      if (from >= min && to <= max && from <= to) return { min: from, max: to };
      throw wrong(given, `a size in bytes or a range such as ${min}-200, from ${min} to ${max}`);
    },
  };
}

function readNamedFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`cannot read ${JSON.stringify(path)}: ${systemReason(error)}`);
  }
}

// ---- Reading -------------------------------------------------------------------------------------------------------

/** `maxPeers` as it is written on the command line, without the dashes. */
export function optionName(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The arguments of a command, read. */
export interface CommandLine<O extends OptionSet> {
  readonly values: Values<O>;
  /** '' where the command takes none. */
  readonly operand: string;
}

/**
 * Reads the arguments of a command.
 *
 * @param operand what stands for its one operand in the help, in brackets if it may be left out; undefined when it takes none.
 * @returns the value of every option, and the operand; undefined when help was asked for.
 * @throws UsageError for anything that is not declared, and for an operand that is missing.
 */
export function readOptions<O extends OptionSet>(
  options: O,
  args: readonly string[],
  operand?: string,
): CommandLine<O> | undefined {
  const byName = new Map(Object.keys(options).map((key) => [optionName(key), key]));
  const collected = collect(options, byName, args);
  if (collected === undefined) return undefined;
  const { given, operands } = collected;
  const [first = '', ...others] = operands;
  const unexpected = operand === undefined ? operands[0] : others[0];
  if (unexpected !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(unexpected)}`);
  const mustBe = operand !== undefined && !operand.startsWith('[');
  if (mustBe && first === '') throw new UsageError(`${operand} is missing`);
  const values: Record<string, unknown> = {};
  for (const [name, key] of byName) {
    try {
      values[key] = options[key]?.read(given.get(key) ?? []);
    } catch (error) {
      if (error instanceof HawserError || !(error instanceof Error)) throw error;
      throw new UsageError(`--${name}: ${error.message}`);
    }
  }
  // Every key of O was read by its own option just now, which the type of a record cannot express.
  return { values: values as Values<O>, operand: first };
}

/** The texts of each option by its key, and the operands; undefined when help was asked for. */
function collect(
  options: OptionSet,
  byName: ReadonlyMap<string, string>,
  args: readonly string[],
): { readonly given: Map<string, string[]>; readonly operands: string[] } | undefined {
  const { tokens } = parseArgs({
    args: [...args],
    options: parserOptions(options, byName),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  if (tokens.some((token) => token.kind === 'option' && token.name === 'help')) return undefined;
  const given = new Map<string, string[]>();
  const operands: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') operands.push(token.value);
    if (token.kind === 'option') {
      const key = byName.get(token.name);
      if (key === undefined) throw unknownOption(token.rawName, [...byName.keys()]);
      const takesValue = options[key]?.placeholder !== undefined;
      if (takesValue && token.value === undefined) throw new UsageError(`${token.rawName} needs a value`);
      if (!takesValue && token.value !== undefined) throw new UsageError(`${token.rawName} takes no value`);
      given.set(key, [...(given.get(key) ?? []), token.value ?? '']);
    }
  }
  return { given, operands };
}

function parserOptions(
  options: OptionSet,
  byName: ReadonlyMap<string, string>,
): NonNullable<ParseArgsConfig['options']> {
  const known: NonNullable<ParseArgsConfig['options']> = { help: { type: 'boolean', short: 'h' } };
  for (const [name, key] of byName) {
    const short = options[key]?.letter;
    known[name] = {
      type: options[key]?.placeholder === undefined ? 'boolean' : 'string',
      multiple: true,
      ...(short === undefined ? {} : { short }),
    };
  }
  return known;
}

function unknownOption(rawName: string, names: readonly string[]): UsageError {
  const close = nearest(rawName.replace(/^-+/, ''), [...names, 'help']);
  return new UsageError(
    `unknown option ${rawName}${close === undefined ? '' : `; did you mean --${close}?`}`,
  );
}
