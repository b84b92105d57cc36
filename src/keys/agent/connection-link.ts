// A connection of a peer, as a link.

import { HawserError } from '../../base/errors.js';
import type { MessageConnection } from '../../base/message-connection.js';
import type { SaeLink } from '../links/link.js';

export class ConnectionLink implements SaeLink {
  readonly delivers = true;
  readonly #connection: MessageConnection;
  #lacked = false;

  constructor(connection: MessageConnection) {
    this.#connection = connection;
  }

  send(bytes: Uint8Array): boolean {
    try {
      // False only says that much waits: it was taken.
      this.#connection.send(bytes);
      return true;
    } catch (error) {
      if (!(error instanceof HawserError)) throw error;
      this.#lacked = true;
      return false;
    }
  }

  /** Whether something was not taken since the last time. */
  takeLack(): boolean {
    const lacked = this.#lacked;
    this.#lacked = false;
    return lacked;
  }
}
