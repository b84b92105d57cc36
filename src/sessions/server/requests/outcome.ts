// What handlers return, checked and copied: a handler may go on using its bytes while the commit is under way.

import { types } from 'node:util';
import {
  argumentError,
  checkArray,
  checkBytes,
  checkOptions,
  checkText,
  describe,
} from '../../../base/check.js';
import type { ResponseRecord } from '../../store/records.js';
import { limits } from '../../wire/messages.js';

/** A server request and the session it goes to. */
export interface OutgoingRequest {
  readonly sessionId: string;
  readonly payload: Uint8Array;
}

export interface CheckedEffects {
  /** By key; undefined deletes. */
  readonly writes: ReadonlyMap<string, Uint8Array | undefined>;
  readonly serverRequests: readonly OutgoingRequest[];
}

export interface CheckedOutcome extends CheckedEffects {
  readonly response: ResponseRecord;
}

const maxApplicationKeyBytes = 512;
const maxWrites = 64;
const maxDrafts = 10;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkApplicationKey(key: string): string {
  return checkText('key', key, maxApplicationKeyBytes);
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function copyPayload(name: string, value: unknown): Uint8Array {
  return new Uint8Array(checkBytes(name, value, 0, limits.serverRequestBytes));
}

/**
 * @param outcome what a request handler returned.
 * @param sessionId where server requests go that do not say.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function checkOutcome(outcome: unknown, sessionId: string): CheckedOutcome {
  const fields = checkOptions('outcome', outcome, ['result', 'error', 'writes', 'serverRequests']);
  const { result, error } = fields;
  if ((result === undefined) === (error === undefined)) {
    throw argumentError('outcome', 'one with either a result or an error', describe(outcome));
  }
  const response: ResponseRecord =
    error === undefined
      ? { outcome: 'result', payload: copyPayload('result', result) }
      : { outcome: 'error', payload: copyPayload('error', error) };
  return { response, ...effectsOf(fields, sessionId) };
}

/**
 * @param effects what an expiry handler returned.
 * @param sessionId where server requests go that do not say.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function checkEffects(effects: unknown, sessionId: string): CheckedEffects {
  if (effects === undefined) return { writes: new Map(), serverRequests: [] };
  return effectsOf(checkOptions('effects', effects, ['writes', 'serverRequests']), sessionId);
}

function effectsOf(
  { writes, serverRequests }: Readonly<Record<string, unknown>>,
  sessionId: string,
): CheckedEffects {
  return {
    writes: writes === undefined ? new Map() : checkWrites(writes),
    serverRequests: checkArray('serverRequests', serverRequests ?? [], 0, maxDrafts).map((draft, index) =>
      checkDraft(`serverRequests[${index}]`, draft, sessionId),
    ),
  };
}

function checkWrites(writes: unknown): ReadonlyMap<string, Uint8Array | undefined> {
  if (!types.isMap(writes) || writes.size > maxWrites) {
    throw argumentError('writes', `a Map of at most ${maxWrites}`, describe(writes));
  }
  const checked = new Map<string, Uint8Array | undefined>();
  for (const [key, value] of writes) {
    const text = checkText('key of writes', key, maxApplicationKeyBytes);
    checked.set(text, value === undefined ? undefined : copyPayload('value of writes', value));
  }
  return checked;
}

function checkDraft(name: string, draft: unknown, sessionId: string): OutgoingRequest {
  const fields = checkOptions(name, draft, ['sessionId', 'payload']);
  const to = checkText(`${name}.sessionId`, fields.sessionId ?? sessionId, limits.sessionIdBytes);
  return { sessionId: to, payload: copyPayload(`${name}.payload`, fields.payload) };
}
