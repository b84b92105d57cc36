// The ways to one peer: of several, the newest is used.

import type { SaeLink } from '../links/link.js';

/** What is left to do with a link that was given to an SAE. */
export interface LinkEnd {
  /** Something has come by it. @param bytes one message, from anybody; a view that is valid during the call. */
  receive(bytes: Uint8Array): void;
  /** It is over, or not to be used any more. Closing twice is closing once. */
  close(): void;
}

export class PeerLinks {
  /** The newest is the last. */
  readonly #links: SaeLink[] = [];
  readonly #changed: () => void;

  /** @param changed called when another link is the one that is used. */
  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** What is used now. */
  get current(): SaeLink | undefined {
    return this.#links.at(-1);
  }

  add(link: SaeLink): void {
    this.#links.push(link);
    this.#changed();
  }

  remove(link: SaeLink): void {
    const { current } = this;
    const index = this.#links.indexOf(link);
    if (index < 0) return;
    this.#links.splice(index, 1);
    if (link === current && this.current !== undefined) this.#changed();
  }

  clear(): void {
    this.#links.length = 0;
  }
}
