// What it means when a KME does not bring what it was asked for, and whether it may be asked again.

import type { PeerCertificate } from 'node:tls';
import { abortedError } from '../../base/abort.js';
import { HawserError, type HawserErrorCode } from '../../base/errors.js';
import { type ExchangeAnswer, ExchangeError } from './https-exchange.js';
import { protocolError } from './kme-client-keys.js';
import { readErrorMessage } from './kme-json.js';
import type { KmeMethod } from './methods.js';

/** What became of one request that brought nothing. */
export interface Failure {
  readonly error: HawserError;
  /** Whether another request may follow. */
  readonly retry: boolean;
  /** Of the answer; null when none came. */
  readonly status: number | null;
}

const goneText = 'keys are delivered once, so those may be gone: take new ones';

/**
 * Of an answer that came whole.
 *
 * @returns undefined for one that is to be read.
 * @throws HawserError ERR_HAWSER_PROTOCOL.
 */
export function failureOfAnswer(
  method: KmeMethod,
  { status, contentType, body }: ExchangeAnswer,
): Failure | undefined {
  if (status === 200) {
    if (contentType === 'application/json') return undefined;
    throw protocolError('the KME answers with something else than application/json');
  }
  const message = readErrorMessage(body);
  const said = `the KME answers ${status}${message === '' ? '' : ` (${message})`}`;
  const fail = (code: HawserErrorCode, retry: boolean, text = said): Failure => ({
    error: new HawserError(code, text),
    retry,
    status,
  });
  if (status === 429 || status === 503) return fail('ERR_HAWSER_KME_UNAVAILABLE', true);
  if (method === 'dec_keys' && status >= 500) {
    return fail('ERR_HAWSER_KEY_UNAVAILABLE', false, `${said}; ${goneText}`);
  }
  if (status >= 500 && status < 600) return fail('ERR_HAWSER_KME_UNAVAILABLE', true);
  if (method === 'dec_keys' && status === 400 && /not found/i.test(message)) {
    return fail('ERR_HAWSER_KEY_UNAVAILABLE', false);
  }
  if (status >= 400 && status < 500) return fail('ERR_HAWSER_KME_REFUSED', false);
  // Redirections are not followed: nobody but the KME may have the request.
  return fail('ERR_HAWSER_PROTOCOL', false, `${said}, which is none of ETSI GS QKD 014`);
}

/**
 * Of a request that failed.
 *
 * @param call `origin` of the KME; `signal` the caller's; `isClosed` whether it is the client that gave up.
 * @throws what is none of an exchange: an error of this program.
 */
export function failureOf(
  method: KmeMethod,
  cause: unknown,
  call: { readonly origin: string; readonly signal: AbortSignal | undefined; readonly isClosed: boolean },
): Failure {
  if (!(cause instanceof ExchangeError)) {
    if (cause instanceof HawserError) return { error: cause, retry: false, status: 200 };
    throw cause;
  }
  const fail = (code: HawserErrorCode, text: string, retry = false): Failure => ({
    error: new HawserError(code, text, { cause }),
    retry,
    status: null,
  });
  const { failure, reached, message } = cause;
  const { origin, signal, isClosed } = call;
  if (failure === 'aborted') {
    return signal?.aborted === true && !isClosed
      ? { error: abortedError(signal), retry: false, status: null }
      : fail('ERR_HAWSER_CLOSED', 'the KME client is closed');
  }
  const text = `KME ${origin}: ${message}`;
  if (failure === 'tls') return fail('ERR_HAWSER_TLS', text);
  if (method === 'dec_keys' && reached) return fail('ERR_HAWSER_KEY_UNAVAILABLE', `${text}; ${goneText}`);
  if (failure === 'answer') return fail('ERR_HAWSER_PROTOCOL', text);
  return fail('ERR_HAWSER_KME_UNAVAILABLE', text, true);
}

/** What `tls.checkServerIdentity` would return, for a KME that is known by its id. */
export function checkKmeId(
  kmeId: string,
  { subject, subjectaltname = '' }: PeerCertificate,
): Error | undefined {
  const commonName: unknown = subject?.CN;
  if (commonName === kmeId || subjectaltname.split(', ').includes(`DNS:${kmeId}`)) return undefined;
  return Object.assign(new Error(`the certificate is not that of the KME ${JSON.stringify(kmeId)}`), {
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  });
}
