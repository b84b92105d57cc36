// The layer `messages`: what the user's `setup` listens to, or an echo.

import type { Channel, ChannelMap } from '../../transport/channels.js';
import type { Peer } from '../../transport/peer.js';
import type { Server } from '../../transport/server.js';

type AnyChannels = Readonly<Record<string, Channel<unknown, 'reliable'>>>;

/**
 * Sends every message of these channels back. A peer that does not read what it is sent is not read from until it does.
 *
 * @param channels those of the layer; messages of others are not for it.
 */
export function echoMessages(server: Server<ChannelMap>, channels: ChannelMap): void {
  // Whatever the channels are, what came by one can be sent by it.
  const own = server as unknown as Server<AnyChannels>;
  const paused = new Map<Peer<AnyChannels>, Set<string>>();
  own.on('message', (peer, value, channel) => {
    const declared = channels[channel];
    if (declared === undefined || peer.send(channel, value)) return;
    if (declared.mode === 'unreliable' || declared.mode === 'sequenced') return;
    peer.pause(channel);
    paused.set(peer, (paused.get(peer) ?? new Set()).add(channel));
  });
  own.on('drain', (peer) => {
    for (const channel of paused.get(peer) ?? []) peer.resume(channel);
    paused.delete(peer);
  });
  own.on('disconnect', (peer) => paused.delete(peer));
}
