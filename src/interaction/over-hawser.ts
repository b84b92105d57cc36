// The interaction protocol over our own transport: a reliable, ordered channel between a gateway and each of its peers.

import { HawserError } from '../base/errors.js';
import type { MessageConnection, MessageReceiver } from '../base/message-connection.js';
import { type Channel, reliable } from '../transport/channels.js';
import { bytes } from '../transport/codecs.js';
import type { Connection } from '../transport/connection.js';
import type { Link } from '../transport/link.js';
import type { Peer } from '../transport/peer.js';
import { type DisconnectInfo, disconnectCodes } from '../transport/results.js';
import type { Server } from '../transport/server.js';
import { limits } from './codec.js';

/** What servers and clients declare that speak the interaction protocol. */
export type InteractionChannels = { readonly interaction: Channel<Uint8Array, 'reliable'> };

/** What to give as the option `channels` of `Server.listen`, `Client.open` and `connect`. */
export const interactionChannels: InteractionChannels = {
  interaction: reliable(bytes(), { maxMessageBytes: limits.messageBytes }),
};

const mostReason = 80;

/** A peer or a connection as the session protocols see it. */
class ChannelConnection implements MessageConnection {
  readonly detectsLoss = true;
  readonly #link: Link<InteractionChannels>;
  readonly #disconnect: (reason: string) => void;

  constructor(link: Link<InteractionChannels>, disconnect: (reason: string) => void) {
    this.#link = link;
    this.#disconnect = disconnect;
  }

  send(message: Uint8Array): boolean {
    // The transport drops and counts what is sent to a side that is gone; a protocol is to know of it.
    if (!this.#link.connected) throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'it is not connected');
    return this.#link.send('interaction', message);
  }

  close(reason: string): void {
    // So many characters are never more bytes than the transport carries.
    this.#disconnect(reason.slice(0, mostReason));
  }
}

/**
 * Speaks the interaction protocol with every peer of a server.
 *
 * @param accept called for each peer that connects: makes what its messages go to.
 */
export function serveInteraction(
  server: Server<InteractionChannels>,
  accept: (connection: MessageConnection, peer: Peer<InteractionChannels>) => MessageReceiver,
): void {
  const receivers = new Map<Peer<InteractionChannels>, MessageReceiver>();
  server.on('connect', (peer) => {
    const connection = new ChannelConnection(
      peer,
      (reason) => void peer.disconnect(disconnectCodes.NONE, reason),
    );
    try {
      receivers.set(peer, accept(connection, peer));
    } catch (error) {
      // Nobody would ever answer it.
      connection.close('not accepted');
      throw error;
    }
  });
  server.on('message', (peer, message) => receivers.get(peer)?.message(message));
  server.on('drain', (peer) => receivers.get(peer)?.drained());
  server.on('disconnect', (peer, info) => {
    const receiver = receivers.get(peer);
    receivers.delete(peer);
    receiver?.closed(lossOf(info));
  });
}

/**
 * Speaks the interaction protocol over a client's connection.
 *
 * @param make makes what the messages of the connection go to.
 * @returns that.
 */
export function overConnection<R extends MessageReceiver>(
  connection: Connection<InteractionChannels>,
  make: (connection: MessageConnection) => R,
): R {
  const receiver = make(
    new ChannelConnection(connection, (reason) => void connection.close(disconnectCodes.NONE, reason)),
  );
  connection.on('message', (message) => receiver.message(message));
  connection.on('drain', () => receiver.drained());
  // Requests and subscriptions do not outlive a session, also where the transport makes another.
  connection.on('reset', () => receiver.closed(lossOf({ result: 'reset' })));
  connection.on('disconnect', (info) => receiver.closed(lossOf(info)));
  return receiver;
}

function lossOf({ result }: Pick<DisconnectInfo, 'result'>): HawserError | undefined {
  if (result === 'closed' || result === 'disconnected') return undefined;
  return new HawserError('ERR_HAWSER_CONNECTION_LOST', `the connection ended: ${result}`);
}
