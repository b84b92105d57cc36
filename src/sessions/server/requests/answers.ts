// What clients hear of their requests and queries. Those that do not know what this package adds to the protocol are told less.

import type { ResponseRecord } from '../../store/records.js';
import type { RequestErrorReason } from '../../wire/messages.js';
import type { Session } from '../session.js';
import type { Parts } from './parts.js';

/** When a request that was refused for the time being may be sent again. */
const retryAfterMs = 500;
const nothing = new Uint8Array(0);

export type QueryErrorReason = Exclude<RequestErrorReason, 'ResponseEvicted'>;

/** To a client that knows of no user errors, an error is a result. */
export function answerRequest(
  { host }: Parts,
  session: Session,
  requestId: number,
  { outcome, payload }: ResponseRecord,
): void {
  if (outcome === 'result' || !session.speaksHawser) {
    host.send(session, { type: 'ClientResponse', requestId, result: payload });
  } else {
    host.send(session, {
      type: 'RequestError',
      requestId,
      reason: 'UserError',
      error: payload,
      retryAfterMs: 0,
    });
  }
}

export function refuseRequest(
  parts: Parts,
  session: Session,
  requestId: number,
  reason: RequestErrorReason,
): void {
  ++parts.counts.refused;
  if (session.speaksHawser || reason === 'ResponseEvicted') {
    const refusal = { reason, error: nothing, retryAfterMs: retryAfterMsOf(reason) };
    parts.host.send(session, { type: 'RequestError', requestId, ...refusal });
  } else if (reason === 'TooManyRequests') {
    ++parts.counts.overloaded;
  }
}

export function refuseQuery(
  parts: Parts,
  session: Session,
  correlationId: string,
  reason: QueryErrorReason,
): void {
  ++parts.counts.refused;
  if (session.speaksHawser) {
    const refusal = { reason, error: nothing, retryAfterMs: retryAfterMsOf(reason) };
    parts.host.send(session, { type: 'QueryError', correlationId, ...refusal });
  } else if (reason === 'TooManyRequests') {
    ++parts.counts.overloaded;
  }
}

function retryAfterMsOf(reason: RequestErrorReason): number {
  return reason === 'StoreUnavailable' || reason === 'TooManyRequests' ? retryAfterMs : 0;
}
