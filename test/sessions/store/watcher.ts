// A listener of a store's watch that remembers what it was told.

import type { StoreChange, WatchListener } from '../../../src/sessions/store/store.js';

export class Watcher implements WatchListener {
  /** `reset`, or the changes that were told together. */
  readonly told: ('reset' | readonly StoreChange[])[] = [];
  readonly #waiting = new Set<() => void>();

  changed(changes: readonly StoreChange[]): void {
    this.told.push(changes);
    for (const look of Array.from(this.#waiting)) look();
  }

  reset(): void {
    this.told.push('reset');
    for (const look of Array.from(this.#waiting)) look();
  }

  /** Resolves once what was told is so. */
  until(isSo: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!isSo()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Resolves once that key was written or deleted. */
  async has(key: string, isThere: boolean): Promise<void> {
    await this.until(() =>
      this.changes.some((change) => change.key === key && (change.entry !== undefined) === isThere),
    );
  }

  /** All changes, one after the other. */
  get changes(): readonly StoreChange[] {
    return this.told.flatMap((each) => (each === 'reset' ? [] : each));
  }

  /** Changes as text: `key=value`, or `key-` for one that was deleted; those that were told together in one list. */
  get lines(): readonly (string | readonly string[])[] {
    return this.told.map((each) => (each === 'reset' ? each : each.map(lineOf).sort()));
  }
}

function lineOf({ key, entry }: StoreChange): string {
  return entry === undefined ? `${key}-` : `${key}=${Buffer.from(entry.value).toString()}`;
}
