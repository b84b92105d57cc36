// The layer `interaction`: what the user's module makes for each peer.

import type { HawserError } from '../../base/errors.js';
import type { Farewell, MessageConnection, MessageReceiver } from '../../base/message-connection.js';
import { InteractionConnection } from '../../interaction/interaction-connection.js';
import { type InteractionChannels, serveInteraction } from '../../interaction/over-hawser.js';
import { type CountingConnection, InteractionTotals, noCounts } from '../../interaction/stats.js';
import type { ChannelMap } from '../../transport/channels.js';
import type { Peer } from '../../transport/peer.js';
import type { Server } from '../../transport/server.js';
import { configError } from '../config-values.js';
import type { InteractionSnapshot } from '../snapshot.js';
import type { Layer, LayerContext } from './layer.js';

export class InteractionLayer implements Layer {
  readonly #accept: (connection: MessageConnection, peer: Peer<ChannelMap>) => MessageReceiver;
  readonly #totals = new InteractionTotals();

  /** @throws HawserError ERR_HAWSER_CONFIG without a handler. */
  constructor({ handlers }: LayerContext) {
    const { interaction } = handlers;
    if (interaction === undefined) {
      throw configError(
        "handlers: the layer 'interaction' needs a module that exports interaction(connection, peer)",
      );
    }
    this.#accept = interaction;
  }

  serve(server: Server<ChannelMap>): void {
    // A listener with this layer declares its channels.
    const own = server as unknown as Server<ChannelMap & InteractionChannels>;
    serveInteraction(own, (connection, peer) => {
      return new CountedReceiver(this.#accept(connection, peer as never), this.#totals);
    });
  }

  snapshot(): InteractionSnapshot {
    return this.#totals.stats;
  }

  /** Requests are answered as long as peers are there. */
  drain(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** What the user's module made, with its counts among those of the layer. */
class CountedReceiver implements MessageReceiver {
  readonly #receiver: MessageReceiver;
  readonly #totals: InteractionTotals;
  readonly #counting: CountingConnection;

  constructor(receiver: MessageReceiver, totals: InteractionTotals) {
    this.#receiver = receiver;
    this.#totals = totals;
    // Whatever else it may be counts nothing.
    this.#counting = receiver instanceof InteractionConnection ? receiver : { counts: noCounts };
    totals.add(this.#counting);
  }

  message(message: Uint8Array): void {
    this.#receiver.message(message);
  }

  unreliableMessage(message: Uint8Array): void {
    this.#receiver.unreliableMessage?.(message);
  }

  drained(): void {
    this.#receiver.drained();
  }

  farewell(farewell: Farewell): void {
    this.#receiver.farewell?.(farewell);
  }

  closed(error: HawserError | undefined): void {
    this.#receiver.closed(error);
    this.#totals.delete(this.#counting);
  }
}
