// Debugging support: one mechanism, node:diagnostics_channel. NODE_DEBUG=hawser subscribes a printer to the same channels.

import { channel, subscribe } from 'node:diagnostics_channel';
import { debuglog } from 'node:util';
import type { ConnectionState, DisconnectInfo, SocketState } from './results.js';
import type { DropReason } from './stats.js';

/** Message of the channel `hawser:socket.state`. */
export interface SocketStateMessage {
  readonly mode: 'SERVER' | 'CLIENT';
  readonly address: string;
  /** Which of a server's sockets: each I/O thread has one. */
  readonly shard: number;
  readonly state: SocketState;
}

/** Message of the channel `hawser:peer.connect`. */
export interface PeerConnectMessage {
  readonly address: string;
  readonly peer: { readonly clientId: bigint; readonly address: string };
}

/** Message of the channel `hawser:peer.disconnect`. */
export interface PeerDisconnectMessage extends PeerConnectMessage {
  readonly info: DisconnectInfo;
}

/** Message of the channel `hawser:connection.state`. */
export interface ConnectionStateMessage {
  readonly address: string;
  readonly state: ConnectionState;
}

/** Message of the channel `hawser:drop`: what the packet validation refused since the last message, once a second. */
export interface DropMessage {
  readonly address: string;
  /** As in {@link SocketStateMessage}. */
  readonly shard: number;
  readonly reason: DropReason;
  readonly count: number;
}

/** A channel of node:diagnostics_channel, with the type of its messages. */
export interface TypedChannel<Message> {
  /** False in the usual case: then nothing is built to be published. */
  readonly hasSubscribers: boolean;
  publish(message: Message): void;
}

const names = {
  socketState: 'hawser:socket.state',
  peerConnect: 'hawser:peer.connect',
  peerDisconnect: 'hawser:peer.disconnect',
  connectionState: 'hawser:connection.state',
  drop: 'hawser:drop',
} as const;

export const channels: {
  readonly socketState: TypedChannel<SocketStateMessage>;
  readonly peerConnect: TypedChannel<PeerConnectMessage>;
  readonly peerDisconnect: TypedChannel<PeerDisconnectMessage>;
  readonly connectionState: TypedChannel<ConnectionStateMessage>;
  readonly drop: TypedChannel<DropMessage>;
} = {
  socketState: channel(names.socketState),
  peerConnect: channel(names.peerConnect),
  peerDisconnect: channel(names.peerDisconnect),
  connectionState: channel(names.connectionState),
  drop: channel(names.drop),
};

const debug = debuglog('hawser');

if (debug.enabled) {
  for (const name of Object.values(names)) subscribe(name, (message) => debug('%s %o', name, message));
}
