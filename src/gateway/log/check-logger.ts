// Whether what a user gave is a logger, or a level.

import { argumentError, checkOneOf, describe } from '../../base/check.js';
import { type Logger, type LogLevel, logLevels } from './logger.js';

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkLogger(name: string, value: unknown): Logger {
  if (isLogger(value)) return value;
  throw argumentError(
    name,
    `a logger such as pino's, with ${logLevels.join(', ')} and child`,
    describe(value),
  );
}

function isLogger(value: unknown): value is Logger {
  if (typeof value !== 'object' || value === null) return false;
  return [...logLevels, 'child'].every((name) => typeof Reflect.get(value, name) === 'function');
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkLogLevel(name: string, value: unknown): LogLevel {
  return checkOneOf(name, value, logLevels);
}
