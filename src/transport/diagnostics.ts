// What the transport tells of itself on node:diagnostics_channel.

import { type TypedChannel, typedChannel } from '../base/diagnostics.js';
import type { ConnectionState, DisconnectInfo, SocketState } from './results.js';
import type { DropReason } from './stats.js';

/** Message of the channel `hawser:socket.state`. */
export interface SocketStateMessage {
  /** Whether it is of a server or of clients. */
  readonly mode: 'SERVER' | 'CLIENT';
  /** As it is bound. */
  readonly address: string;
  /** Which of a server's sockets: each I/O thread has one. */
  readonly shard: number;
  /** The state now. */
  readonly state: SocketState;
}

/** Message of the channel `hawser:peer.connect`. */
export interface PeerConnectMessage {
  /** Of the server, as it is bound. */
  readonly address: string;
  /** Who it is. */
  readonly peer: { readonly clientId: bigint; readonly address: string };
}

/** Message of the channel `hawser:peer.disconnect`. */
export interface PeerDisconnectMessage extends PeerConnectMessage {
  /** How and why it ended. */
  readonly info: DisconnectInfo;
}

/** Message of the channel `hawser:connection.state`. */
export interface ConnectionStateMessage {
  /** Of the client's socket. */
  readonly address: string;
  /** The state now. */
  readonly state: ConnectionState;
}

/** Message of the channel `hawser:drop`: what the packet validation refused since the last message, once a second. */
export interface DropMessage {
  /** Of the socket, as it is bound. */
  readonly address: string;
  /** As in {@link SocketStateMessage}. */
  readonly shard: number;
  /** Why they were dropped. */
  readonly reason: DropReason;
  /** How many since the message before. */
  readonly count: number;
}

/** The names of the channels of the transport. */
export const channelNames = {
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
  socketState: typedChannel(channelNames.socketState),
  peerConnect: typedChannel(channelNames.peerConnect),
  peerDisconnect: typedChannel(channelNames.peerDisconnect),
  connectionState: typedChannel(channelNames.connectionState),
  drop: typedChannel(channelNames.drop),
};
