// One request over HTTPS and its answer, in bytes that can be overwritten. It tells whether the request may have arrived when no answer came.

import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Agent } from 'node:https';
import { request as openRequest } from 'node:https';
import type { PeerCertificate } from 'node:tls';
import type { Clock, Timer } from '../../base/clock.js';

/** The most of a refusal, which is not read but for its message. */
const maxRefusalBytes = 16_384;
const firstBufferBytes = 16_384;

/** Connections whose handshake is done: Node tells of one that is used again only when it was idle, not when a request waited for it. */
const established = new WeakSet<object>();

export interface ExchangeRequest {
  readonly agent: Agent;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** With one, it is a POST of JSON; without, a GET. */
  readonly body: Uint8Array | undefined;
  readonly checkServerIdentity: (host: string, certificate: PeerCertificate) => Error | undefined;
  /** The most bytes of an answer with the status 200. */
  readonly maxAnswerBytes: number;
  readonly clock: Clock;
  /** How long the connection may take, the TLS handshake included, and the whole exchange. */
  readonly connectTimeoutMs: number;
  readonly timeoutMs: number;
  /** Ends the exchange at once. */
  readonly signal: AbortSignal;
}

export interface ExchangeAnswer {
  readonly status: number;
  /** The media type without parameters, in lower case; '' for none. */
  readonly contentType: string;
  /** The caller overwrites it. */
  readonly body: Uint8Array;
}

/** Why no answer came. */
export type ExchangeFailure =
  /** The certificate of one of both was not accepted, or there is no version or cipher in common. */
  | 'tls'
  /** Nobody listens, the address is unknown, the connection broke. */
  | 'connection'
  | 'timeout'
  /** What came is no answer, or too long. */
  | 'answer'
  | 'aborted';

/** No answer came, or not the whole of it. */
export class ExchangeError extends Error {
  readonly failure: ExchangeFailure;
  /** Whether the other side may have got the request, and have acted on it. */
  readonly reached: boolean;

  constructor(failure: ExchangeFailure, reached: boolean, message: string, cause?: unknown) {
    super(message, { cause });
    this.failure = failure;
    this.reached = reached;
  }
}

/** @throws ExchangeError (rejects). */
export function exchange(options: ExchangeRequest): Promise<ExchangeAnswer> {
  return new Promise((resolve, reject) => {
    new Exchange(options, resolve, reject);
  });
}

class Exchange {
  readonly #options: ExchangeRequest;
  readonly #request: ClientRequest;
  readonly #timers: Timer[] = [];
  readonly #resolve: (answer: ExchangeAnswer) => void;
  readonly #reject: (error: ExchangeError) => void;
  #reached = false;
  #settled = false;
  #body: Buffer = Buffer.alloc(0);
  #length = 0;

  constructor(
    options: ExchangeRequest,
    resolve: (answer: ExchangeAnswer) => void,
    reject: (error: ExchangeError) => void,
  ) {
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#request = this.#open();
    const { clock, signal, timeoutMs } = options;
    this.#timers.push(
      clock.setTimeout(
        () => this.#fail('timeout', `no answer within ${Math.round(timeoutMs)} ms`),
        timeoutMs,
      ),
    );
    signal.addEventListener('abort', this.#abort);
    if (signal.aborted) this.#abort();
  }

  #open(): ClientRequest {
    const { agent, host, port, path, body, checkServerIdentity } = this.#options;
    const request = openRequest({
      agent,
      host,
      port,
      path,
      method: body === undefined ? 'GET' : 'POST',
      checkServerIdentity,
      headers: {
        accept: 'application/json',
        // What is compressed leaves copies of keys behind where it is expanded.
        'accept-encoding': 'identity',
        ...(body && { 'content-type': 'application/json', 'content-length': body.length }),
      },
    });
    request.once('socket', (socket) => {
      if (request.reusedSocket || established.has(socket)) {
        this.#reached = true;
        return;
      }
      const { clock, connectTimeoutMs } = this.#options;
      const timer = clock.setTimeout(
        () => this.#fail('timeout', `no connection within ${connectTimeoutMs} ms`),
        connectTimeoutMs,
      );
      this.#timers.push(timer);
      // Only now is the request written (and the certificate accepted).
      socket.once('secureConnect', () => {
        established.add(socket);
        this.#reached = true;
        timer.clear();
      });
    });
    request.on('error', (error) => this.#broken(error));
    request.once('response', (response) => this.#read(response));
    request.end(body);
    return request;
  }

  readonly #abort = (): void => this.#fail('aborted', 'aborted');

  #read(response: IncomingMessage): void {
    const { statusCode = 0, headers } = response;
    const limit = statusCode === 200 ? this.#options.maxAnswerBytes : maxRefusalBytes;
    response.on('error', (error) => this.#broken(error));
    response.once('close', () => this.#fail('connection', 'the connection ended within the answer'));
    if (headers['content-encoding'] !== undefined) {
      this.#fail('answer', 'the answer is compressed, which was not asked for');
      return;
    }
    response.on('data', (chunk: Buffer) => {
      if (this.#settled || this.#length + chunk.length > limit) {
        this.#fail('answer', `the answer is longer than ${limit} bytes`);
      } else {
        this.#append(chunk, limit);
      }
      // The chunk is all of what the socket read that is not overwritten with this.
      chunk.fill(0);
    });
    response.once('end', () => {
      if (this.#settled || !response.complete) return;
      const [type = ''] = (headers['content-type'] ?? '').split(';');
      const body = this.#body.subarray(0, this.#length);
      this.#settle();
      this.#resolve({ status: statusCode, contentType: type.trim().toLowerCase(), body });
    });
  }

  #append(chunk: Buffer, limit: number): void {
    const needed = this.#length + chunk.length;
    if (needed > this.#body.length) {
      const larger = Buffer.alloc(Math.min(limit, Math.max(firstBufferBytes, needed * 2)));
      this.#body.copy(larger);
      this.#body.fill(0);
      this.#body = larger;
    }
    chunk.copy(this.#body, this.#length);
    this.#length = needed;
  }

  #broken(error: Error): void {
    const code = 'code' in error ? String(error.code) : '';
    // The error of several addresses has no text of its own; some of OpenSSL's have several lines.
    const [text = ''] = error.message.split('\n');
    this.#fail(failureOf(code), text === '' ? code : text, error);
  }

  #fail(failure: ExchangeFailure, message: string, cause?: unknown): void {
    if (this.#settled) return;
    this.#settle();
    this.#body.fill(0);
    this.#reject(new ExchangeError(failure, this.#reached, message, cause));
    this.#request.destroy();
  }

  #settle(): void {
    this.#settled = true;
    this.#options.signal.removeEventListener('abort', this.#abort);
    for (const timer of this.#timers) timer.clear();
  }
}

/** HPE_... are of the parser of HTTP; EPROTO, ERR_SSL_... and the names of what is wrong with a certificate are of TLS. */
function failureOf(code: string): ExchangeFailure {
  if (code.startsWith('HPE_')) return 'answer';
  return code === '' || /^E(?!RR_|PROTO$)/.test(code) ? 'connection' : 'tls';
}
