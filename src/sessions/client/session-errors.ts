// The errors of a client.

import { HawserError } from '../../base/errors.js';
import type { CloseReason, RequestErrorReason } from '../wire/messages.js';

/** The application on the other side answered with an error of its own. Its code is ERR_HAWSER_USER_ERROR. */
export class SessionUserError extends HawserError {
  /** What it answered. */
  readonly error: Uint8Array;

  constructor(error: Uint8Array) {
    super('ERR_HAWSER_USER_ERROR', `the application answered with an error of ${error.length} bytes`);
    this.error = error;
  }
}

/** The error of a refusal that is final; undefined when the same may be sent again after a while. @param error is copied. */
export function refusalError(reason: RequestErrorReason, error: Uint8Array): HawserError | undefined {
  switch (reason) {
    case 'UserError':
      return new SessionUserError(new Uint8Array(error));
    case 'HandlerFailed':
      return new HawserError('ERR_HAWSER_HANDLER', 'the handler of the other side failed');
    case 'PayloadTooLong':
      return new HawserError(
        'ERR_HAWSER_MESSAGE_TOO_LONG',
        'the payload is longer than the other side takes',
      );
    case 'ResponseEvicted':
      return new HawserError(
        'ERR_HAWSER_RESPONSE_EVICTED',
        'the outcome of the request is not kept any more',
      );
    case 'StoreUnavailable':
    case 'TooManyRequests':
      return undefined;
  }
}

/** A request was sent, and nobody connects any more. */
export function connectionLostError(): HawserError {
  const message = 'the connection was lost; whether the request was carried out is unknown';
  return new HawserError('ERR_HAWSER_CONNECTION_LOST', message);
}

export function notConnectedError(): HawserError {
  return new HawserError('ERR_HAWSER_NOT_CONNECTED', 'there is no connection, and none is being made');
}

export function clientClosedError(): HawserError {
  return new HawserError('ERR_HAWSER_CLOSED', 'the client is closed');
}

/** @param cause what ended the session, where that was no message of the gateway. */
export function expiredError(cause?: HawserError): HawserError {
  return new HawserError(
    'ERR_HAWSER_SESSION_EXPIRED',
    'the session has expired, or was ended at the server',
    cause && { cause },
  );
}

/** The gateway is done with the connection, not with the session. */
export function closedError(reason: CloseReason): HawserError {
  return new HawserError('ERR_HAWSER_CONNECTION_LOST', `the gateway ended the connection: ${reason}`);
}

/** No KeepAlive is answered (source document, "Client-Side Detection"). */
export function silentError(): HawserError {
  return new HawserError('ERR_HAWSER_TIMED_OUT', 'the gateway answers no KeepAlive');
}

/** Whether another attempt would meet the same, or end the connection that took the place of this one. */
export function isFinal(reason: unknown): boolean {
  if (!(reason instanceof HawserError)) return false;
  const { code, cause } = reason;
  return code === 'ERR_HAWSER_ARGUMENT' || code === 'ERR_HAWSER_REPLACED' || isFinal(cause);
}
