// What the command line tells people when something goes wrong: one line, and what to do.

import { HawserError } from '../base/errors.js';
import { printable } from '../base/printable.js';
import { systemCode } from '../base/system-error.js';

export { systemCode, systemReason } from '../base/system-error.js';

/** The exit codes of every command. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, interrupted: 130 } as const;

/** The command line itself is wrong: exit code 2, with a hint at --help. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The command cannot do what was asked: exit code 1. The message is for people and says what to do. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** Whether an error is expected in use, so that its message says all; anything else is a fault of ours and needs its stack. */
function isExpected(error: Error): boolean {
  if (error instanceof UsageError || error instanceof CommandError || error instanceof HawserError)
    return true;
  return systemCode(error) !== undefined;
}

/** The text for standard error. */
export function describeError(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof Error && !isExpected(error)) {
    return (error.stack ?? text).split('\n').map(printable).join('\n');
  }
  // One line, whatever the message holds.
  const lines = text.split(/[\r\n]+/).map((line) => line.trim());
  return printable(lines.filter((line) => line !== '').join(' '));
}
