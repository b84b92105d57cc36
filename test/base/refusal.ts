import { HawserError } from '../../src/base/errors.js';

/** The message of the argument error that `run` throws. */
export function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_ARGUMENT') return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
}
