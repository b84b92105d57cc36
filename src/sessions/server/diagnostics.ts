// What a session server tells of itself on node:diagnostics_channel: its events, and each request and query.

import { type TypedChannel, typedChannel } from '../../base/diagnostics.js';
import type { RejectReason, RequestErrorReason } from '../wire/messages.js';
import type { SessionServerEvents } from './events.js';
import type { SessionEnd, SessionInfo } from './handler.js';

/** What can happen to a session. */
export type SessionEventName =
  | 'created'
  | 'continued'
  | 'claimed'
  | 'disconnected'
  | 'warning'
  | 'ended'
  | 'moved';

/** Message of the channel `hawser:sessions.session`. */
export interface SessionMessage {
  /** The name of the server among those of its store. */
  readonly gateway: string;
  /** What has happened. */
  readonly event: SessionEventName;
  /** The session. */
  readonly sessionId: string;
  /** Whose it is. */
  readonly identity: string;
  /** Of `ended`; null otherwise. */
  readonly end: SessionEnd | null;
  /** Of `warning`: for how long no KeepAlive has come, in milliseconds; null otherwise. */
  readonly silentMs: number | null;
}

/** Message of the channel `hawser:sessions.rejected`: a Create or a Continue was. */
export interface SessionRejectedMessage {
  /** The name of the gateway. */
  readonly gateway: string;
  /** Why. */
  readonly reason: RejectReason;
  /** Whose it is. */
  readonly identity: string;
}

/** Message of the channel `hawser:sessions.skew`: as often as the event `clockSkew`. */
export interface SessionSkewMessage {
  /** The name of the gateway. */
  readonly gateway: string;
  /** The session. */
  readonly sessionId: string;
  /** Whose it is. */
  readonly identity: string;
  /** Negative: the clock of the client is behind. */
  readonly skewMs: number;
}

/** Message of the channel `hawser:sessions.serving`. */
export interface SessionServingMessage {
  /** The name of the gateway. */
  readonly gateway: string;
  /** Whether clients are taken. */
  readonly serving: boolean;
}

/** Message of the channel `hawser:sessions.leader`. */
export interface SessionLeaderMessage {
  /** The name of the gateway. */
  readonly gateway: string;
  /** Where the gateway that leads is; null when it did not say so. */
  readonly leader: string | null;
  /** Whether this gateway leads. */
  readonly isThisOne: boolean;
}

/** Message of the channel `hawser:sessions.request`: a request for which a handler was to be called is over. */
export interface SessionRequestMessage {
  /** The name of the gateway. */
  readonly gateway: string;
  /** The session. */
  readonly sessionId: string;
  /** Counts the requests of the session. */
  readonly requestId: number;
  /** `discarded`: the session or the lease was lost meanwhile. Else why it was refused. */
  readonly outcome: 'answered' | 'discarded' | RequestErrorReason;
  /** From its turn to its end: the handler, and the commit. */
  readonly durationMs: number;
}

/** Message of the channel `hawser:sessions.query`: a query for which a handler was called is over. */
export interface SessionQueryMessage {
  /** The name of the gateway. */
  readonly gateway: string;
  /** The session. */
  readonly sessionId: string;
  /** `discarded`: the session is over here, or moved on. */
  readonly outcome: 'answered' | 'discarded' | 'StoreUnavailable' | 'HandlerFailed';
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
}

/** The names of the channels of a session server. */
export const channelNames = {
  session: 'hawser:sessions.session',
  rejected: 'hawser:sessions.rejected',
  skew: 'hawser:sessions.skew',
  serving: 'hawser:sessions.serving',
  leader: 'hawser:sessions.leader',
  request: 'hawser:sessions.request',
  query: 'hawser:sessions.query',
} as const;

export const diagnostics: {
  readonly session: TypedChannel<SessionMessage>;
  readonly rejected: TypedChannel<SessionRejectedMessage>;
  readonly skew: TypedChannel<SessionSkewMessage>;
  readonly serving: TypedChannel<SessionServingMessage>;
  readonly leader: TypedChannel<SessionLeaderMessage>;
  readonly request: TypedChannel<SessionRequestMessage>;
  readonly query: TypedChannel<SessionQueryMessage>;
} = {
  session: typedChannel(channelNames.session),
  rejected: typedChannel(channelNames.rejected),
  skew: typedChannel(channelNames.skew),
  serving: typedChannel(channelNames.serving),
  leader: typedChannel(channelNames.leader),
  request: typedChannel(channelNames.request),
  query: typedChannel(channelNames.query),
};

/** Publishes an event of a server on the channel that it belongs to; nothing is built unless that has subscribers. */
export function publishEvent<K extends keyof SessionServerEvents>(
  gateway: string,
  event: K,
  args: SessionServerEvents[K],
): void {
  publishers[event]?.(gateway, ...args);
}

type Publishers = {
  readonly [K in keyof SessionServerEvents]?: (gateway: string, ...args: SessionServerEvents[K]) => void;
};

const publishers: Publishers = {
  sessionCreated: (gateway, session) => publishSession(gateway, 'created', session),
  sessionContinued: (gateway, session, claimed) =>
    publishSession(gateway, claimed ? 'claimed' : 'continued', session),
  sessionDisconnected: (gateway, session) => publishSession(gateway, 'disconnected', session),
  sessionWarning: (gateway, session, silentMs) => publishSession(gateway, 'warning', session, null, silentMs),
  sessionEnded: (gateway, session, end) => publishSession(gateway, 'ended', session, end),
  sessionMoved: (gateway, session) => publishSession(gateway, 'moved', session),
  sessionRejected: (gateway, reason, identity) => {
    if (diagnostics.rejected.hasSubscribers) diagnostics.rejected.publish({ gateway, reason, identity });
  },
  clockSkew: (gateway, { sessionId, identity }, skewMs) => {
    if (diagnostics.skew.hasSubscribers) diagnostics.skew.publish({ gateway, sessionId, identity, skewMs });
  },
  serving: (gateway, serving) => {
    if (diagnostics.serving.hasSubscribers) diagnostics.serving.publish({ gateway, serving });
  },
  leader: (gateway, leader, isThisOne) => {
    if (!diagnostics.leader.hasSubscribers) return;
    diagnostics.leader.publish({ gateway, leader: leader ?? null, isThisOne });
  },
};

function publishSession(
  gateway: string,
  event: SessionEventName,
  { sessionId, identity }: SessionInfo,
  end: SessionEnd | null = null,
  silentMs: number | null = null,
): void {
  if (!diagnostics.session.hasSubscribers) return;
  diagnostics.session.publish({ gateway, event, sessionId, identity, end, silentMs });
}
