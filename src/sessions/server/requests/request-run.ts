// One request: the handler is called, and what it returns is committed.

import { Backoff } from '../../../base/backoff.js';
import { HawserError } from '../../../base/errors.js';
import type { ResponseRecord } from '../../store/records.js';
import type { ClientMessage, RequestErrorReason } from '../../wire/messages.js';
import type { RequestContext, RequestHandler } from '../handler.js';
import { sessionInfo } from '../owned-session.js';
import type { Session } from '../session.js';
import { isUnavailable, pause } from '../store-retry.js';
import type { KeptOutcomes } from './kept-outcomes.js';
import { type CheckedOutcome, checkOutcome } from './outcome.js';
import type { Parts } from './parts.js';
import { RequestCommit } from './request-commit.js';
import { inTurn, raceBackoff } from './store-calls.js';
import { TrackedReads } from './tracked-reads.js';

export type ClientRequest = Extract<ClientMessage, { readonly type: 'ClientRequest' }>;

/** What a run needs of the session that it is for. */
export interface RunSession {
  readonly parts: Parts;
  readonly session: Session;
  readonly handler: RequestHandler;
  readonly kept: KeptOutcomes;
  /** Aborts when the session is over here. */
  readonly over: AbortSignal;
  answer(requestId: number, response: ResponseRecord): void;
}

/** - `done`: it was answered. `discarded`: it never is. `conflict`: what the handler has read under those keys was written since. */
export type RunEnd =
  | { readonly type: 'done' }
  | { readonly type: 'refused'; readonly reason: RequestErrorReason }
  | { readonly type: 'discarded' }
  | { readonly type: 'conflict'; readonly keys: readonly string[] };

/** So often a handler is called for one request before its client is asked to wait. */
const maxCalls = 9;

/** @returns how it ended; `conflict` is not among them. Does not reject. */
export async function carryOut(of: RunSession, message: ClientRequest): Promise<RunEnd> {
  const { host } = of.parts;
  const commit = new RequestCommit(of, message);
  const races = new Backoff(raceBackoff, host.settings.random);
  let contended: readonly string[] = [];
  for (let calls = 0; calls < maxCalls; ++calls) {
    // Those who have lost take turns from then on: with many of them, each call would let only one of them through.
    const end = await of.parts.contended.run(contended, () => callOnce(of, message, commit));
    if (end.type !== 'conflict') return end;
    contended = Array.from(new Set([...contended, ...end.keys]));
    // It was its turn: whoever was faster is at another gateway.
    if (calls > 0) await pause(host.settings.wheel, races.next(), of.over);
  }
  const error = new HawserError('ERR_HAWSER_STORE', 'what the handler reads was written again each time');
  host.handlerError(error, 'onRequest');
  // Nothing is wrong with the request: it is sent again.
  return { type: 'refused', reason: 'TooManyRequests' };
}

async function callOnce(of: RunSession, message: ClientRequest, commit: RequestCommit): Promise<RunEnd> {
  const { host } = of.parts;
  if (of.over.aborted) return { type: 'discarded' };
  const reads = new TrackedReads(host);
  let outcome: CheckedOutcome;
  try {
    outcome = checkOutcome(await inTurn(host, callHandler(of, message, reads)), of.session.id);
  } catch (error) {
    if (of.over.aborted) return { type: 'discarded' };
    if (reads.failed && isUnavailable(error)) return { type: 'refused', reason: 'StoreUnavailable' };
    host.handlerError(error, 'onRequest');
    return { type: 'refused', reason: 'HandlerFailed' };
  } finally {
    reads.end();
  }
  return commit.commit(outcome, reads.revisions);
}

/** Async, so that what it throws is a rejection. */
async function callHandler(of: RunSession, message: ClientRequest, reads: TrackedReads): Promise<unknown> {
  const context: RequestContext = {
    ...sessionInfo(of.session),
    requestId: message.requestId,
    // A copy for each call: a handler may use the bytes up.
    payload: new Uint8Array(message.payload),
    requestedAt: message.createdAt,
    signal: of.over,
    get: (key) => reads.get(key),
  };
  return of.handler(context);
}
