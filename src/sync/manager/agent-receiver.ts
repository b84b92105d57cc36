// What comes by the connection of an agent, for the manager. There may be tens of thousands of them: each is as small as can be.

import type { MessageReceiver } from '../../base/message-connection.js';
import type { AgentLink } from './agent-link.js';

/** What a manager does with it: one for all connections. */
export interface AgentListener {
  receive(link: AgentLink, message: Uint8Array, ordered: boolean): void;
  lost(link: AgentLink): void;
}

export class AgentReceiver implements MessageReceiver {
  readonly #link: AgentLink;
  readonly #listener: AgentListener;

  constructor(link: AgentLink, listener: AgentListener) {
    this.#link = link;
    this.#listener = listener;
  }

  message(message: Uint8Array): void {
    this.#listener.receive(this.#link, message, true);
  }

  unreliableMessage(message: Uint8Array): void {
    this.#listener.receive(this.#link, message, false);
  }

  drained(): void {
    this.#link.drained();
  }

  closed(): void {
    this.#listener.lost(this.#link);
  }
}
