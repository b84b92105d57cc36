// What the admin server answers with, and the headers that every answer has.

import type { ServerResponse } from 'node:http';

/** An answer that is there in full. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** A request that is refused; the message is told to whoever asked. */
export class RequestError extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/**
 * Of every answer. The dashboard takes everything from the gateway itself and has no script or style inside its pages, so nothing that a peer
 * calls itself can become either.
 */
const securityHeaders: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
    "base-uri 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  // Without a referrer even for its own pages a browser would send `Origin: null` with their forms.
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
};

/** @param value what becomes JSON; a string is JSON already. */
export function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  const body = typeof value === 'string' ? value : JSON.stringify(value);
  return { status, headers: { 'content-type': 'application/json; charset=utf-8', ...headers }, body };
}

/** @param status 303 after a form, 302 for another page. */
export function redirect(
  status: 302 | 303,
  location: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return { status, headers: { location, ...headers } };
}

/** Writes the head of an answer, without a body yet. */
export function begin(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
): void {
  response.writeHead(status, { ...securityHeaders, ...headers });
}

/** Sends an answer; of a request with HEAD the head only. */
export function send(response: ServerResponse, { status, headers, body = '' }: Answer): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const length = status === 304 ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  begin(response, status, { ...length, ...headers });
  response.end(body);
}
