// A logger of somebody else's that may fail.

import { isolatePromise } from '../../base/isolate.js';
import type { Logger, LogLevel, LogMethod } from './logger.js';

/**
 * Has what a logger throws end nothing: a line that could not be written is lost, and the first such failure is a warning of the process.
 * Lines are also written where an exception would be nobody's to catch, as in subscribers of node:diagnostics_channel.
 *
 * @returns a logger that writes to `logger`.
 */
export function steadyLogger(logger: Logger): Logger {
  return steady(logger, { hasFailed: false });
}

function steady(logger: Logger, state: { hasFailed: boolean }): Logger {
  const failed = (error: unknown): void => {
    if (!state.hasFailed) {
      process.emitWarning(`the logger of a gateway throws: ${String(error)}`, 'HawserWarning');
    }
    state.hasFailed = true;
  };
  const attempt = <T>(work: () => T, otherwise: T): T => {
    try {
      const result = work();
      isolatePromise(result, failed);
      return result;
    } catch (error) {
      failed(error);
      return otherwise;
    }
  };
  const method =
    (level: LogLevel): LogMethod =>
    (fields, message) =>
      attempt(() => logger[level](fields, message), undefined);
  const own: Logger = {
    trace: method('trace'),
    debug: method('debug'),
    info: method('info'),
    warn: method('warn'),
    error: method('error'),
    fatal: method('fatal'),
    child: (fields) => attempt(() => steady(logger.child(fields), state), own),
  };
  return own;
}
