// The logger of a gateway that is given none: a line of JSON for each event, as pino writes them.

import { checkFunction, checkOptions, checkString } from '../../base/check.js';
import { printableJson } from '../../base/printable.js';
import { checkLogLevel } from './check-logger.js';
import { type Logger, type LogLevel, type LogMethod, logLevels } from './logger.js';
import { plainFields } from './plain-fields.js';

/** The numbers that lines have as `level`: those of pino. */
export const levelNumbers: Readonly<Record<LogLevel, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  fatal: 60,
};

/** Options of {@link jsonLogger}. */
export interface JsonLoggerOptions {
  /** The least that is written; `info` by default. */
  readonly level?: LogLevel;
  /** The field `name` of each line: of the gateway. None by default. */
  readonly name?: string;
  /** In each line. None by default. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Takes each line, with its end. Standard error by default. */
  readonly write?: (line: string) => void;
  /** Unix milliseconds; `Date.now` by default. */
  readonly now?: () => number;
}

/** A logger whose level can be changed, also for its children that are there already. */
export interface JsonLogger extends Logger {
  /** The least that is written. */
  level: LogLevel;
}

interface Output {
  least: number;
  readonly write: (line: string) => void;
  readonly now: () => number;
}

/** What the lines have themselves; fields of these names are left out. */
const ownNames = new Set(['level', 'time', 'pid', 'msg']);

/**
 * Makes a logger that writes `{"level":30,"time":1780000000000,"pid":42,"name":"gateway",...,"msg":"..."}`: `level` by `levelNumbers`,
 * `time` in Unix milliseconds, an Error as `err` with `type`, `message`, `stack` and `code`. A line has no control characters but its end,
 * and values that are long or deep are cut.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function jsonLogger(options: JsonLoggerOptions = {}): JsonLogger {
  checkOptions('options', options, ['level', 'name', 'fields', 'write', 'now']);
  const { level = 'info', name, fields = {}, write = writeToStandardError, now = Date.now } = options;
  const output: Output = {
    least: levelNumbers[checkLogLevel('level', level)],
    write: checkFunction('write', write),
    now: checkFunction('now', now),
  };
  const base = name === undefined ? fields : { name: checkString('name', name), ...fields };
  return loggerWith(output, base);
}

function loggerWith(output: Output, base: Readonly<Record<string, unknown>>): JsonLogger {
  const known = withoutOwnNames(base);
  const method =
    (level: LogLevel): LogMethod =>
    (fields, message) => {
      const number = levelNumbers[level];
      if (number < output.least) return;
      output.write(
        lineOfAny(number, output.now(), () => ({ ...known, ...withoutOwnNames(fields) }), message),
      );
    };
  return {
    trace: method('trace'),
    debug: method('debug'),
    info: method('info'),
    warn: method('warn'),
    error: method('error'),
    fatal: method('fatal'),
    child: (fields) => loggerWith(output, { ...known, ...fields }),
    get level() {
      return logLevels.find((name) => levelNumbers[name] === output.least) ?? 'info';
    },
    set level(level) {
      output.least = levelNumbers[checkLogLevel('level', level)];
    },
  };
}

function withoutOwnNames(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const names = Object.keys(fields);
  if (!names.some((name) => ownNames.has(name))) return fields;
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !ownNames.has(name)));
}

/** What cannot be read, as a getter that throws, costs a line its fields: a log ends nothing. */
function lineOfAny(
  level: number,
  time: number,
  fieldsOf: () => Readonly<Record<string, unknown>>,
  message: string,
): string {
  try {
    return lineOf(level, time, fieldsOf(), message);
  } catch {
    return lineOf(level, time, { fields: 'they cannot be read' }, message);
  }
}

function lineOf(
  level: number,
  time: number,
  fields: Readonly<Record<string, unknown>>,
  message: string,
): string {
  const { pid } = process;
  const { msg } = plainFields({ msg: message });
  return `${printableJson(JSON.stringify({ level, time, pid, ...plainFields(fields), msg }))}\n`;
}

let isWatched = false;

/** Whoever read the log may be gone: that is no reason to end. */
function writeToStandardError(line: string): void {
  if (!isWatched) process.stderr.on('error', () => undefined);
  isWatched = true;
  process.stderr.write(line);
}
