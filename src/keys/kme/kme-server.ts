// A KME for development and tests: ETSI GS QKD 014 V1.1.1 over HTTPS with client certificates, and the faults that it is told to have.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import { isText } from '../../base/check.js';
import { type FaultKind, Faults, type KmeFault } from './faults.js';
import { type Answer, containerAnswer, errorAnswer, spoil, statusAnswer } from './kme-answers.js';
import { listenError, makeServer, refusalText, urlOf } from './kme-listener.js';
import {
  fixedTexts,
  maxRequestBytes,
  RequestRefusal,
  readKeyIdQuery,
  readKeyIds,
  readKeyQuery,
  readKeyRequest,
} from './kme-requests.js';
import {
  checkKmeServerOptions,
  type KmeServerOptions,
  type KmeServerSettings,
} from './kme-server-options.js';
import { type KmeMethod, maxIdBytes, readPath } from './methods.js';

const defaultDelayMs = 1000;

/** A request whose path is that of a method, from an SAE that may ask. */
interface Asked {
  readonly request: IncomingMessage;
  readonly method: KmeMethod;
  readonly saeId: string;
  readonly peerSaeId: string;
  readonly query: URLSearchParams;
  readonly struck: ReadonlyMap<FaultKind, KmeFault>;
}

/** A key management entity for tests: ETSI GS QKD 014 over mutual TLS. */
export class KmeServer {
  /** Its id. */
  readonly kmeId: string;
  /** Where it listens: `https://127.0.0.1:8443`. */
  readonly url: string;
  readonly #settings: KmeServerSettings;
  readonly #server: Server;
  readonly #faults: Faults;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  private constructor(settings: KmeServerSettings, server: Server) {
    this.#settings = settings;
    this.kmeId = settings.kmeId;
    this.#server = server;
    this.#faults = new Faults(settings.random);
    for (const fault of settings.faults) this.#faults.add(fault);
    this.url = urlOf(settings.host, server.address());
    server.on('request', (request, response) => void this.#serve(request, response));
    server.on('tlsClientError', (error) => settings.onRefused(refusalText(error)));
  }

  /**
   * Begins to listen.
   *
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, ERR_HAWSER_ADDRESS_IN_USE, ERR_HAWSER_ADDRESS_NOT_AVAILABLE, ERR_HAWSER_PERMISSION,
   * ERR_HAWSER_SYSTEM.
   */
  static async listen(options: KmeServerOptions): Promise<KmeServer> {
    const settings = checkKmeServerOptions(options);
    const server = makeServer(settings);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenError(error, settings)));
      server.listen(settings.port, settings.host, resolve);
    });
    return new KmeServer(settings, server);
  }

  /** Has it do something wrong from now on, beside what it does already. @throws HawserError ERR_HAWSER_ARGUMENT. */
  inject(fault: KmeFault): void {
    this.#faults.add(fault);
  }

  /** From now on nothing goes wrong. */
  clearFaults(): void {
    this.#faults.clear();
  }

  /** Ends all connections. Closing twice is closing once. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#closing.abort();
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
    return this.#closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const begun = performance.now();
    const saeId = saeIdOf(request);
    const [path = '', search = ''] = splitOnce(request.url ?? '', '?');
    const target = readPath(path);
    const struck: ReadonlyMap<FaultKind, KmeFault> =
      target === undefined ? new Map() : this.#faults.strike(target.method);
    const answer = await this.#answer(request, { saeId, target, search, struck }).catch((error: unknown) =>
      errorAnswer(error),
    );
    const status = this.#send(response, answer, struck);
    this.#settings.onRequest({
      saeId,
      method: target?.method,
      peerSaeId: target?.peerSaeId,
      status,
      keys: answer.keys,
      message: answer.message,
      faults: [...struck.keys()],
      durationMs: performance.now() - begun,
    });
  }

  async #answer(
    request: IncomingMessage,
    asked: {
      readonly saeId: string | undefined;
      readonly target: { readonly method: KmeMethod; readonly peerSaeId: string } | undefined;
      readonly search: string;
      readonly struck: ReadonlyMap<FaultKind, KmeFault>;
    },
  ): Promise<Answer> {
    const { saeId, target, search, struck } = asked;
    const { saeIds } = this.#settings;
    if (saeId === undefined) throw new RequestRefusal(401, 'the certificate has no SAE id as common name');
    if (saeIds?.has(saeId) === false) throw new RequestRefusal(401, 'this SAE is none of this KME');
    if (target === undefined) throw new RequestRefusal(404, 'there is no such path');
    const slow = struck.get('delay');
    if (slow !== undefined) {
      await delay(slow.delayMs ?? defaultDelayMs, undefined, { signal: this.#closing.signal });
    }
    if (struck.has('drop-before')) return { status: 0, body: Buffer.alloc(0), keys: 0, message: '' };
    const status = struck.get('status');
    if (status !== undefined) throw new RequestRefusal(status.status ?? 503, 'as the fault has it');
    return this.#carryOut({ request, saeId, ...target, query: new URLSearchParams(search), struck });
  }

  #carryOut(asked: Asked): Answer | Promise<Answer> {
    const verb = asked.request.method ?? '';
    switch (asked.method) {
      case 'status':
        if (verb !== 'GET') throw new RequestRefusal(405, 'there is GET', 'GET');
        return statusAnswer(this.#settings, asked);
      case 'enc_keys':
        return this.#newKeys(asked, verb);
      case 'dec_keys':
        return this.#namedKeys(asked, verb);
    }
  }

  async #newKeys({ request, saeId, peerSaeId, query, struck }: Asked, verb: string): Promise<Answer> {
    const { pool } = this.#settings;
    const asked =
      verb === 'GET'
        ? readKeyQuery(query, pool.limits)
        : readKeyRequest(await readBody(request, verb), pool.limits);
    const { number, sizeBits, additionalSaeIds } = asked;
    const wanted = { masterSaeId: saeId, slaves: [peerSaeId, ...additionalSaeIds], number, sizeBits };
    const answer = pool.take(wanted, (keys) => containerAnswer(keys, struck));
    if (answer === undefined) throw new RequestRefusal(503, 'there are not enough keys');
    return answer;
  }

  async #namedKeys({ request, saeId, peerSaeId, query, struck }: Asked, verb: string): Promise<Answer> {
    const { pool } = this.#settings;
    const ids =
      verb === 'GET' ? readKeyIdQuery(query) : readKeyIds(await readBody(request, verb), pool.limits);
    const answer = pool.collect(saeId, peerSaeId, ids, (keys) => containerAnswer(keys, struck));
    if (answer === 'unauthorised') throw new RequestRefusal(401, 'a key was not made for this SAE');
    if (answer === 'unknown') throw new RequestRefusal(400, fixedTexts.notFound);
    return answer;
  }

  /** @returns the status; null when the connection was closed instead. */
  #send(
    response: ServerResponse,
    { status, body, allow }: Answer,
    struck: ReadonlyMap<FaultKind, KmeFault>,
  ): number | null {
    const { socket } = response;
    const wipe = (): void => void body.fill(0);
    response.once('close', wipe);
    if (struck.has('drop-before') || struck.has('drop-after') || socket === null || socket.destroyed) {
      wipe();
      socket?.destroy();
      return null;
    }
    const sent = spoil(body, struck);
    response.writeHead(status, {
      'content-type': struck.has('media-type') ? 'text/html' : 'application/json',
      'content-length': sent.length,
      // Keys are secrets: no cache may have one.
      'cache-control': 'no-store',
      ...(allow !== undefined && { allow }),
      // What is left of a body that was not read would be taken for the next request.
      ...(response.req.complete ? {} : { connection: 'close' }),
    });
    if (struck.has('truncate')) {
      response.write(sent.subarray(0, Math.floor(sent.length / 2)), () => socket.destroy());
      return null;
    }
    response.end(sent, wipe);
    return status;
  }
}

/** The id of the SAE: the one common name of its certificate. */
function saeIdOf({ socket }: IncomingMessage): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  // An array where there are several.
  const commonName: unknown = socket.getPeerCertificate().subject?.CN;
  return isText(commonName, maxIdBytes) ? commonName : undefined;
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** @throws RequestRefusal (rejects). */
async function readBody(request: IncomingMessage, verb: string): Promise<Uint8Array> {
  if (verb !== 'POST') throw new RequestRefusal(405, 'there are GET and POST', 'GET, POST');
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    const part = Buffer.from(chunk);
    length += part.length;
    if (length > maxRequestBytes)
      throw new RequestRefusal(400, `the body is longer than ${maxRequestBytes} bytes`);
    chunks.push(part);
  }
  const [type = ''] = (request.headers['content-type'] ?? '').split(';');
  if (length > 0 && type.trim().toLowerCase() !== 'application/json') {
    throw new RequestRefusal(400, 'the body shall be application/json');
  }
  return Buffer.concat(chunks);
}
