// One figure of many peers at once: a call of the addon for each socket instead of one for each peer.

import type { ChannelMap } from './channels.js';
import type { statusCell } from './native.js';
import type { Peer } from './peer.js';
import type { Socket } from './socket.js';

interface Group {
  /** Pairs of slot and generation. */
  readonly handles: number[];
  /** Where the peers are in the list that was given. */
  readonly places: number[];
}

/**
 * Reads one figure of each of many peers.
 *
 * @param peers of any servers.
 * @param figure one of `statusCell`.
 * @returns a number for each peer, in their order; 0 for one that is not connected.
 */
export function figuresOf<C extends ChannelMap>(
  peers: readonly Peer<C>[],
  figure: (typeof statusCell)[keyof typeof statusCell],
): Float64Array {
  const groups = new Map<Socket, Group>();
  let socket: Socket | undefined;
  let group: Group = { handles: [], places: [] };
  for (let place = 0; place < peers.length; ++place) {
    const peer = peers[place];
    if (peer === undefined) continue;
    if (peer.carrier !== socket) {
      socket = peer.carrier;
      group = groups.get(socket) ?? { handles: [], places: [] };
      groups.set(socket, group);
    }
    group.handles.push(peer.slot, peer.generation);
    group.places.push(place);
  }
  const figures = new Float64Array(peers.length);
  for (const [carrier, { handles, places }] of groups) {
    const read = new Float64Array(places.length);
    carrier.figures(new Uint32Array(handles), figure, read);
    for (let index = 0; index < places.length; ++index) figures[places[index] ?? 0] = read[index] ?? 0;
  }
  return figures;
}
