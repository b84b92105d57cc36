// Ctrl-C and SIGTERM: the first asks the command to end well, the second ends it at once.

const signalNumbers = { SIGINT: 2, SIGTERM: 15 } as const;
type EndSignal = keyof typeof signalNumbers;

/** What a command hears of signals. */
export interface Interruption {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** Listens no more: from now on a signal ends the process as if nobody had listened. */
  dispose(): void;
}

/**
 * Begins to listen.
 *
 * @param onSecond what to mend (the terminal) before the process ends at the second signal.
 */
export function watchSignals(onSecond?: () => void): Interruption {
  const controller = new AbortController();
  const listener = (name: EndSignal): void => {
    if (!controller.signal.aborted) {
      controller.abort(name);
      return;
    }
    onSecond?.();
    process.exit(128 + signalNumbers[name]);
  };
  process.on('SIGINT', listener).on('SIGTERM', listener);
  return {
    signal: controller.signal,
    dispose: () => {
      process.off('SIGINT', listener).off('SIGTERM', listener);
    },
  };
}

/** Resolves after a time or as soon as the signal is aborted. @returns whether the whole time passed. */
export function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (elapsed: boolean) => (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      resolve(elapsed);
    };
    const onAbort = end(false);
    const timer = ms === Number.POSITIVE_INFINITY ? keepAlive() : setTimeout(end(true), ms);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
}

/** A promise alone does not keep a process alive. */
function keepAlive(): NodeJS.Timeout {
  return setInterval(() => undefined, 2 ** 30);
}
