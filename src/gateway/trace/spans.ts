// Which spans the messages of the channels make. docs/observability.md lists them.

import type { InteractionRequestMessage } from '../../interaction/diagnostics.js';
import type { KmeMessage } from '../../keys/kme/diagnostics.js';
import type { SessionQueryMessage, SessionRequestMessage } from '../../sessions/server/diagnostics.js';
import type { SessionEnded } from '../../sync/manager/events.js';
import type { GatewayDrainMessage, GatewayReloadMessage } from '../diagnostics.js';
import type { PastSpan } from './span-maker.js';

export function ofSessionRequest(message: SessionRequestMessage): PastSpan {
  const { gateway, sessionId, requestId, outcome, durationMs } = message;
  return {
    name: 'hawser.sessions.request',
    kind: 'server',
    attributes: {
      'hawser.gateway': gateway,
      'hawser.session.id': sessionId,
      'hawser.request.id': requestId,
      'hawser.outcome': outcome,
    },
    durationMs,
    error: outcome === 'answered' ? undefined : outcome,
  };
}

export function ofSessionQuery({ gateway, sessionId, outcome, durationMs }: SessionQueryMessage): PastSpan {
  return {
    name: 'hawser.sessions.query',
    kind: 'server',
    attributes: { 'hawser.gateway': gateway, 'hawser.session.id': sessionId, 'hawser.outcome': outcome },
    durationMs,
    error: outcome === 'answered' ? undefined : outcome,
  };
}

/** What a device answers with another status is an answer, but where it could not answer at all. */
const failures: ReadonlySet<string> = new Set(['BUSY', 'TIMEOUT', 'RESOURCE_EXHAUSTED']);

export function ofInteraction({ operation, status, durationMs }: InteractionRequestMessage): PastSpan {
  return {
    name: `hawser.interaction.${operation}`,
    kind: 'server',
    attributes: { 'hawser.status': status },
    durationMs,
    error: failures.has(status) ? status : undefined,
  };
}

export function ofSync(ended: SessionEnded): PastSpan {
  const { agent, module, mode, size, applied, rejected, durationMs, status, reason } = ended;
  const isWell = status === 'Ok' || status === 'ChecksumMismatch';
  return {
    name: 'hawser.sync.session',
    kind: 'server',
    attributes: {
      'hawser.sync.agent': agent,
      'hawser.sync.module': module,
      'hawser.sync.mode': mode,
      'hawser.sync.items': size,
      'hawser.sync.applied': applied,
      'hawser.sync.rejected': rejected,
      'hawser.status': status,
      'hawser.reason': reason === 'None' ? undefined : reason,
    },
    durationMs,
    error: isWell ? undefined : reason === 'None' ? status : reason,
  };
}

export function ofKme({
  kme,
  method,
  peerSaeId,
  attempt,
  status,
  keys,
  durationMs,
  code,
}: KmeMessage): PastSpan {
  return {
    name: `hawser.keys.kme ${method}`,
    kind: 'client',
    attributes: {
      'server.address': kme,
      'http.response.status_code': status ?? undefined,
      'http.request.resend_count': attempt > 1 ? attempt - 1 : undefined,
      'hawser.sae.peer': peerSaeId,
      'hawser.keys.count': keys,
    },
    durationMs,
    error: code,
  };
}

export function ofReload({ gateway, report, error, durationMs }: GatewayReloadMessage): PastSpan {
  return {
    name: 'hawser.gateway.reload',
    attributes: {
      'hawser.gateway': gateway,
      'hawser.reload.changed': report?.changed.join(' '),
      'hawser.reload.need_restart': report?.needRestart.join(' '),
    },
    durationMs,
    error,
  };
}

export function ofDrain({ gateway, peersBefore, peersLeft, durationMs }: GatewayDrainMessage): PastSpan {
  return {
    name: 'hawser.gateway.drain',
    attributes: {
      'hawser.gateway': gateway,
      'hawser.peers.before': peersBefore,
      'hawser.peers.left': peersLeft,
    },
    durationMs,
  };
}
