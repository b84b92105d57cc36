// Debugging support: one mechanism, node:diagnostics_channel. NODE_DEBUG=hawser subscribes a printer to the same channels.

import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { debuglog } from 'node:util';

/** A channel of node:diagnostics_channel, with the type of its messages. */
export interface TypedChannel<Message> {
  readonly name: string | symbol;
  /** False in the usual case: then nothing is built to be published. */
  readonly hasSubscribers: boolean;
  publish(message: Message): void;
}

/** `hawser:<layer>.<event>`; two of the transport are older than that and have no layer in them. */
export type ChannelName = `hawser:${string}`;

const debug = debuglog('hawser');

/**
 * Makes a channel; all names are in docs/observability.md. Whoever publishes asks `hasSubscribers` first.
 *
 * @returns the channel of that name. With NODE_DEBUG=hawser its messages are printed.
 */
export function typedChannel<Message>(name: ChannelName): TypedChannel<Message> {
  if (debug.enabled) subscribe(name, (message) => debug('%s %o', name, message));
  return channel(name);
}

/**
 * Listens to a channel. What the listener throws is an uncaught exception, as node:diagnostics_channel has it.
 *
 * @returns what ends it.
 */
export function listenTo<Message>(
  { name }: TypedChannel<Message>,
  listener: (message: Message) => void,
): () => void {
  // Whatever is published there comes from the typed channel.
  const onMessage = (message: unknown): void => listener(message as Message);
  subscribe(name, onMessage);
  return () => unsubscribe(name, onMessage);
}
