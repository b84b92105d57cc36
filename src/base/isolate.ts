// A listener that throws must not break the stack: its error goes where somebody waits for it, and the events behind it are
// delivered all the same.

import { captureRejectionSymbol } from 'node:events';

/** What emits `listenerError`. */
export interface ListenerErrorTarget {
  listenerCount(eventName: 'listenerError'): number;
  emit(eventName: 'listenerError', error: unknown, source: string): boolean;
}

/**
 * Hands the error of a listener to the `listenerError` listeners of `target`. Without any, or when they throw too, it
 * becomes an uncaught exception, as it would be for any other emitter of Node.js.
 *
 * @param source the event whose listener threw.
 */
export function reportListenerError(target: ListenerErrorTarget, error: unknown, source: string): void {
  let uncaught = error;
  if (source !== 'listenerError' && target.listenerCount('listenerError') > 0) {
    try {
      target.emit('listenerError', error, source);
      return;
    } catch (second) {
      uncaught = second;
    }
  }
  throwLater(uncaught);
}

/**
 * As {@link reportListenerError} for an error that the other side can bring about: without a listener it is not told, for nobody outside may
 * end the process.
 */
export function reportToListeners(target: ListenerErrorTarget, error: unknown, source: string): void {
  if (target.listenerCount('listenerError') > 0) reportListenerError(target, error, source);
}

/** Makes an error an uncaught exception, once what is under way is through. */
export function throwLater(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}

/** Runs what calls listeners of the event `source`. */
export function guard(target: ListenerErrorTarget, source: string, run: () => unknown): void {
  try {
    run();
  } catch (error) {
    reportListenerError(target, error, source);
  }
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
