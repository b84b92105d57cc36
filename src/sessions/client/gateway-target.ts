// Which gateway is connected to next.

import type { GatewayTarget } from './options.js';

/** What a client has heard of its gateways. */
export class GatewayChoice {
  #first: string | undefined;
  #last: string | undefined;
  /** Where the present connection goes, if its connector told. */
  #current: string | undefined;
  /** Those that refused in this attempt. */
  readonly #refused = new Set<string>();

  /** An attempt begins: whoever refused before may be asked again. */
  beginAttempt(): void {
    this.#refused.clear();
  }

  /** For the next connection. A hint serves once: a gateway that is gone must not be asked for for ever. */
  next(): GatewayTarget {
    const target = { first: this.#first, last: this.#last };
    this.#first = undefined;
    this.#current = undefined;
    return target;
  }

  connectedTo(address: string): void {
    this.#current = address;
  }

  /** Whether the connector did not tell which is the present one. */
  get isUnknown(): boolean {
    return this.#current === undefined;
  }

  /** Whether the present one has refused in this attempt. */
  get isRefused(): boolean {
    return this.#current !== undefined && this.#refused.has(this.#current);
  }

  /** The present one refuses, is lost, or sends its clients away. @param elsewhere where it said to go. */
  leave(elsewhere: string | undefined): void {
    if (this.#current !== undefined) {
      this.#refused.add(this.#current);
      this.#last = this.#current;
    }
    if (elsewhere !== undefined) this.#first = elsewhere;
  }

  /** What was heard means nothing any more. */
  forget(): void {
    this.#first = undefined;
    this.#last = undefined;
  }
}
