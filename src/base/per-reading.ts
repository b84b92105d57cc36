// What takes long to read, and is asked for many times at once.

/**
 * Reads once for all who ask before anything else happens: a registry asks all its metrics in one go, and they are to be of one moment.
 *
 * @returns a function that reads, and returns the same again until the code that runs is through.
 */
export function oncePerReading<T>(read: () => T): () => T {
  let kept: { readonly value: T } | undefined;
  return () => {
    if (kept === undefined) {
      kept = { value: read() };
      queueMicrotask(() => {
        kept = undefined;
      });
    }
    return kept.value;
  };
}
