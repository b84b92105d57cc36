// The log of a gateway for people: a line of text on standard error.

import { levelNumbers } from '../gateway/log/json-logger.js';
import type { Logger, LogLevel } from '../gateway/log/logger.js';
import { describeError } from './errors.js';
import { printable } from './terminal.js';

type Fields = Readonly<Record<string, unknown>>;

export class PeopleLog implements Logger {
  readonly #least: LogLevel;

  /** @param least the least level that is told. */
  constructor(least: LogLevel) {
    this.#least = least;
  }

  trace(fields: Fields, message: string): void {
    this.#tell('trace', fields, message);
  }

  debug(fields: Fields, message: string): void {
    this.#tell('debug', fields, message);
  }

  info(fields: Fields, message: string): void {
    this.#tell('info', fields, message);
  }

  warn(fields: Fields, message: string): void {
    this.#tell('warn', fields, message);
  }

  error(fields: Fields, message: string): void {
    this.#tell('error', fields, message);
  }

  fatal(fields: Fields, message: string): void {
    this.#tell('fatal', fields, message);
  }

  /** What a line is about stands in its message. */
  child(): Logger {
    return this;
  }

  #tell(level: LogLevel, { err, layer, source }: Fields, message: string): void {
    if (levelNumbers[level] < levelNumbers[this.#least]) return;
    // What a handler of sessions does wrong is told with them.
    if (layer === 'sessions' && source !== undefined) return;
    const reason = err === undefined ? '' : `: ${describeError(err)}`;
    process.stderr.write(`${printable(message)}${reason}\n`);
  }
}
