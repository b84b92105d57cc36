// Long work gives way to whatever else the process does.

/** Resolves once the event loop has run. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
