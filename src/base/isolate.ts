// Isolates exceptions of the application's code: listeners, handlers, hooks and codecs. Used by every class that calls such code.

import { captureRejectionSymbol } from 'node:events';
import { printable } from './printable.js';

/** What emits `listenerError`. */
export interface ListenerErrorTarget {
  listenerCount(eventName: 'listenerError'): number;
  emit(eventName: 'listenerError', error: unknown, source: string): boolean;
}

/** Milliseconds between two warnings. A peer may be able to make a listener throw for each of its messages. */
const warningIntervalMs = 1000;
let unhandled = 0;
let unreported = 0;
let nextWarningMs = Number.NEGATIVE_INFINITY;

/**
 * Returns the number of exceptions of this process's listeners, handlers, hooks and codecs that no listener of `listenerError` took. The first
 * of them in each second is also a warning of the process (`HAWSER_LISTENER_ERROR`).
 */
export function unhandledListenerErrors(): number {
  return unhandled;
}

/**
 * Emits an exception of the application's code as `listenerError` of `target`. If nothing listens, or a listener of that event throws too, the
 * exception is counted and becomes a warning of the process. The process continues.
 *
 * @param source Event, handler or hook that threw.
 */
export function reportListenerError(target: ListenerErrorTarget, error: unknown, source: string): void {
  let last = error;
  if (source !== 'listenerError' && target.listenerCount('listenerError') > 0) {
    try {
      target.emit('listenerError', error, source);
      return;
    } catch (second) {
      last = second;
    }
  }
  warnOfListenerError(last, source);
}

/** Counts an exception of the application's code, and warns of it unless there was a warning within the last second. */
export function warnOfListenerError(error: unknown, source: string): void {
  ++unhandled;
  const nowMs = performance.now();
  if (nowMs < nextWarningMs) {
    ++unreported;
    return;
  }
  nextWarningMs = nowMs + warningIntervalMs;
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const more = unreported === 0 ? '' : ` (and ${unreported} more since the last warning)`;
  unreported = 0;
  process.emitWarning(
    `"${source}" threw: ${printable(message)}${more}. Listen to 'listenerError' to handle such errors.`,
    {
      type: 'HawserWarning',
      code: 'HAWSER_LISTENER_ERROR',
      detail: (stack ?? '').split('\n').map(printable).join('\n'),
    },
  );
}

/** Throws an error of this package's own code as an uncaught exception, in the next tick. */
export function throwLater(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}

/**
 * Runs the application's code.
 *
 * @param failed called with what it throws, or with the reason why a promise that it returns rejects.
 */
export function isolate(run: () => unknown, failed: (error: unknown) => void): void {
  try {
    isolatePromise(run(), failed);
  } catch (error) {
    failed(error);
  }
}

/** Runs the application's code `source`, as {@link isolate}, and reports its errors. */
export function guard(target: ListenerErrorTarget, source: string, run: () => unknown): void {
  isolate(run, (error) => reportListenerError(target, error, source));
}

/**
 * Handles the rejection of a promise that nothing waits for. An unhandled rejection would end the process.
 *
 * @param result what the application's code returned. Nothing happens unless it is a promise.
 * @param failed called with the reason of the rejection.
 */
export function isolatePromise(result: unknown, failed: (error: unknown) => void): void {
  if (typeof result === 'object' && result !== null && 'then' in result)
    Promise.resolve(result).catch(failed);
}

/**
 * Returns what the application's code answered where a promise is no answer. The caller refuses a promise with an error that says so; the
 * rejection of that promise is handled here.
 */
export function answerOf<T>(answer: T): T {
  isolatePromise(answer, () => undefined);
  return answer;
}

/**
 * Treats the rejected promise of an async listener as the error of a listener that threw, for every emitter with this
 * prototype that was made with `captureRejections`.
 */
export function isolateRejections(prototype: ListenerErrorTarget): void {
  Object.defineProperty(prototype, captureRejectionSymbol, {
    value(this: ListenerErrorTarget, error: unknown, eventName: unknown): void {
      reportListenerError(this, error, String(eventName));
    },
  });
}
