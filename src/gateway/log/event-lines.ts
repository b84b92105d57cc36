// Which lines of the log the events of the layers make.

import type {
  KeysDeviceMessage,
  KeysRejectedMessage,
  KeysTransitionMessage,
} from '../../keys/agent/diagnostics.js';
import type { KmeMessage } from '../../keys/kme/diagnostics.js';
import type {
  SessionLeaderMessage,
  SessionMessage,
  SessionQueryMessage,
  SessionRejectedMessage,
  SessionRequestMessage,
  SessionServingMessage,
  SessionSkewMessage,
} from '../../sessions/server/diagnostics.js';
import type { SessionEnded, SessionStarted } from '../../sync/manager/events.js';
import type { DropMessage, PeerConnectMessage, PeerDisconnectMessage } from '../../transport/diagnostics.js';
import { disconnectCodes } from '../../transport/results.js';
import type { DropReason } from '../../transport/stats.js';
import type { GatewayDrainMessage, GatewayReloadMessage, GatewayStateMessage } from '../diagnostics.js';
import type { LogLevel } from './logger.js';

/** A line of the log. */
export interface EventLine {
  readonly level: LogLevel;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

function line(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>): EventLine {
  return { level, message, fields };
}

// ---- Gateway and transport -----------------------------------------------------------------------------------------

const stateTexts = {
  STARTING: 'starting',
  RUNNING: 'running',
  DRAINING: 'draining',
  STOPPED: 'stopped',
} as const;

export function stateLine({ state }: GatewayStateMessage): EventLine {
  return line('info', stateTexts[state], { state });
}

export function reloadLine({ report, error, durationMs }: GatewayReloadMessage): EventLine {
  if (report === null) {
    return line('error', 'the configuration is wrong; nothing has changed', { reason: error, durationMs });
  }
  const { keyIds, changed, needRestart } = report;
  const level = needRestart.length === 0 ? 'info' : 'warn';
  const message = needRestart.length === 0 ? 'reloaded' : 'reloaded, but for what takes a restart';
  return line(level, message, { keyIds, changed, needRestart, durationMs });
}

export function drainLine({ peersBefore, peersLeft, durationMs }: GatewayDrainMessage): EventLine {
  return line('info', 'drained', { peersBefore, peersLeft, durationMs });
}

export function connectLine({ address, peer }: PeerConnectMessage): EventLine {
  return line('debug', 'peer connected', {
    listener: address,
    clientId: String(peer.clientId),
    peer: peer.address,
  });
}

const slowCodes: ReadonlySet<number> = new Set([
  disconnectCodes.SLOW_CONSUMER,
  disconnectCodes.SEND_MEMORY_FULL,
]);

export function disconnectLine({ address, peer, info }: PeerDisconnectMessage): EventLine {
  const { result, code, reason } = info;
  const fields = {
    listener: address,
    clientId: String(peer.clientId),
    peer: peer.address,
    result,
    code,
    reason,
  };
  if (result === 'closed' && code === disconnectCodes.NO_PROGRESS)
    return line('warn', 'peer disconnected: it made no progress', fields);
  // The gateway ended the connection to protect itself: that needs attention.
  if (result === 'closed' && slowCodes.has(code)) return line('warn', 'slow peer disconnected', fields);
  return line('debug', 'peer disconnected', fields);
}

const tokenRefusals: Partial<Record<DropReason, string>> = {
  protocol: 'connect tokens are for another protocolId',
  tokenLifetime: 'connect tokens live longer than maxTokenLifetimeMs (netcode: netcode.tokenLifetimeMs)',
  tokenExpired: 'connect tokens have expired, or the clock of this gateway is ahead of that of their issuer',
  tokenFuture:
    'connect tokens are created in the future: the clock of their issuer is ahead of this one by more than clockSkewMs',
  unknownKey: 'connect tokens are sealed with a key id that this gateway does not have',
  tokenInvalid:
    'connect tokens do not open with the server keys of this gateway: other keys, or altered tokens',
  tokenPredates: 'netcode tokens may have been used before the start of this gateway: see restartGuardMs',
  wrongAddress: 'connect tokens list no address of this gateway: compare publicAddresses',
  singleUseRefused:
    'single-use tokens are from before the start + restartGuardMs, or list other gateways without a shared tokenHistory',
};

/** @returns undefined for reasons that do not concern the token. */
export function tokenRefusalLine({ address, reason, count }: DropMessage): EventLine | undefined {
  const text = tokenRefusals[reason];
  return text === undefined
    ? undefined
    : line('warn', `clients are refused: ${text}`, { listener: address, reason, count });
}

// ---- Sessions ------------------------------------------------------------------------------------------------------

export function sessionLine({ event, sessionId, identity, end, silentMs }: SessionMessage): EventLine {
  return line('debug', `session ${event}`, {
    sessionId,
    identity,
    ...(end !== null && { end }),
    ...(silentMs !== null && { silentMs }),
  });
}

export function sessionRejectedLine({ reason, identity }: SessionRejectedMessage): EventLine {
  return line('info', 'session rejected', { reason, identity });
}

export function skewLine({ sessionId, identity, skewMs }: SessionSkewMessage): EventLine {
  return line('info', 'the clock of a client is beyond the tolerance', { sessionId, identity, skewMs });
}

/** @param isDraining then it is meant that they are not. */
export function servingLine({ serving }: SessionServingMessage, isDraining: boolean): EventLine {
  if (serving) return line('info', 'sessions are served', { serving });
  if (isDraining) return line('info', 'sessions are handed over', { serving });
  return line('warn', 'sessions are not served: the store does not answer, or another gateway leads', {
    serving,
  });
}

export function leaderLine({ leader, isThisOne }: SessionLeaderMessage): EventLine {
  return line('info', isThisOne ? 'this gateway leads' : 'another gateway leads', { leader, isThisOne });
}

export function requestLine(message: SessionRequestMessage | SessionQueryMessage, what: string): EventLine {
  const { sessionId, outcome, durationMs } = message;
  const fields = {
    sessionId,
    ...('requestId' in message && { requestId: message.requestId }),
    outcome,
    durationMs,
  };
  if (outcome === 'HandlerFailed') return line('error', `the handler of a ${what} failed`, fields);
  if (outcome === 'StoreUnavailable') return line('warn', `the store failed a ${what}`, fields);
  return line('trace', what, fields);
}

// ---- Sync ----------------------------------------------------------------------------------------------------------

export function syncStartLine({ agent, module, mode, size, resumed }: SessionStarted): EventLine {
  return line('debug', 'sync began', { agent, module, mode, size, resumed });
}

export function syncEndLine(message: SessionEnded): EventLine {
  const { agent, module, mode, size, applied, rejected, durationMs, status, reason } = message;
  // A check whose checksum differs has done what it is for.
  const isGood = (status === 'Ok' || status === 'ChecksumMismatch') && rejected === 0;
  const text = isGood ? 'sync ended' : 'sync ended, and not all is well';
  const fields = { agent, module, mode, size, applied, rejected, durationMs, status, reason };
  return line(isGood ? 'info' : 'warn', text, fields);
}

// ---- Keys ----------------------------------------------------------------------------------------------------------

/** Of those that end a rotation well. */
const goodOutcomes: readonly (string | null)[] = ['completed', 'kept', 'unacknowledged'];

export function transitionLine(message: KeysTransitionMessage): EventLine {
  const { saeId, peerSaeId, sessionId, role, epoch, from, to, cause, newKeyId, outcome } = message;
  const fields = { saeId, peerSaeId, sessionId, role, epoch, from, to, cause, newKeyId, outcome };
  if (outcome === null) return line('debug', 'rotation goes on', fields);
  if (goodOutcomes.includes(outcome)) return line('info', 'rotated', fields);
  return line('warn', 'the rotation did not come about', fields);
}

export function keysRejectedLine(message: KeysRejectedMessage): EventLine {
  const { saeId, peerSaeId, code, messageType, sessionId, reason } = message;
  const fields = { saeId, peerSaeId, code, messageType, sessionId, reason };
  return line('warn', 'a message of the key protocol was refused', fields);
}

export function deviceLine(message: KeysDeviceMessage): EventLine {
  const { saeId, peerSaeId, persona, call, keyId, durationMs, error } = message;
  const fields = { saeId, peerSaeId, persona, call, keyId, durationMs };
  if (error === undefined) return line('debug', 'device', fields);
  return line('error', 'a device failed', { ...fields, reason: error });
}

export function kmeLine({
  kme,
  method,
  peerSaeId,
  attempt,
  status,
  durationMs,
  code,
}: KmeMessage): EventLine {
  const fields = { kme, method, peerSaeId, attempt, status, durationMs, code };
  if (code === null) return line('debug', 'asked a KME', fields);
  return line('warn', 'a KME did not give what was asked for', fields);
}
