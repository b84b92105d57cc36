// The HTTP side of a development gateway: tokens for whoever asks, and its health. It stands in for the backend that
// authenticates users in a real installation.

import {
  createServer,
  type Server as HttpServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http';
import { parseAddress } from '../base/address.js';
import { HawserError } from '../base/errors.js';
import { type Wire, wires } from '../base/wire.js';
import { CommandError, systemCode } from './errors.js';
import { u64 } from './options.js';
import { randomClientId } from './tokens.js';

const maxBodyBytes = 4096;

/** An answer: a status and what becomes JSON. */
interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A request that cannot be served; the message is the answer. */
class RequestError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Makes a token in its text form. @throws HawserError ERR_HAWSER_ARGUMENT for too much user data. */
export type MintText = (client: { readonly clientId: bigint; readonly userData?: Uint8Array }) => string;

export interface HttpOptions {
  /** `host:port`, in canonical form. */
  readonly address: string;
  /** For each wire format that the gateway speaks. The first serves requests that name none. */
  readonly minters: ReadonlyMap<Wire, MintText>;
  /** The answer of /healthz, and whether the gateway takes new clients. */
  readonly health: () => Readonly<Record<string, unknown>> & { readonly status: 'ok' | 'draining' };
}

/** An HTTP server that listens. */
export interface HttpEndpoint {
  /** `http://host:port`. */
  readonly url: string;
  close(): Promise<void>;
}

/** @throws CommandError when the address cannot be bound. */
export function openHttp(options: HttpOptions): Promise<HttpEndpoint> {
  const answerer = (request: IncomingMessage, response: ServerResponse): void => {
    answer(request, options).then(
      (given) => send(response, given),
      (error: unknown) => send(response, refusal(error)),
    );
  };
  return openEndpoint(options.address, 'choose another with --http HOST:PORT, or --http off', answerer);
}

/**
 * Answers GET /metrics.
 *
 * @param registry of prom-client, or what is like one.
 * @throws CommandError when the address cannot be bound.
 */
export function openMetrics(
  address: string,
  registry: { readonly contentType: string; metrics(): Promise<string> },
): Promise<HttpEndpoint> {
  const answerMetrics = async ({ method, url }: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (method !== 'GET' || new URL(url ?? '/', 'http://localhost').pathname !== '/metrics') {
      send(response, { status: 404, body: { error: 'there is GET /metrics' } });
      return;
    }
    const metrics = await registry.metrics();
    response.writeHead(200, { 'content-type': registry.contentType }).end(metrics);
  };
  const answerer = (request: IncomingMessage, response: ServerResponse): void => {
    answerMetrics(request, response).catch((error: unknown) => send(response, refusal(error)));
  };
  return openEndpoint(address, 'choose another with --metrics HOST:PORT', answerer);
}

/** @param advice what to do when the address cannot be bound. */
async function openEndpoint(
  address: string,
  advice: string,
  answerer: RequestListener,
): Promise<HttpEndpoint> {
  const { host, port } = parseAddress(address);
  const server = createServer(answerer);
  await listen(server, host, port, `cannot listen on ${address} for HTTP`, advice);
  const bound = server.address();
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${boundPort}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(
  server: HttpServer,
  host: string,
  port: number,
  failure: string,
  advice: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const code = systemCode(error);
      const reasons: Readonly<Record<string, string>> = {
        EADDRINUSE: 'another program listens there',
        EACCES: 'this user may not listen there',
        EADDRNOTAVAIL: 'it is no address of this machine',
      };
      const reason = reasons[code ?? ''] ?? error.message;
      reject(new CommandError(`${failure}: ${reason}; ${advice}`));
    });
    server.listen(port, host, resolve);
  });
}

async function answer(request: IncomingMessage, options: HttpOptions): Promise<Answer> {
  // Every browser says where a POST or a cross-origin GET comes from. No page has any business here, and whoever visits one must
  // not hand it tokens of a gateway on the same machine.
  if (request.headers.origin !== undefined) throw new RequestError(403, 'not for web pages');
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  switch (`${request.method} ${pathname}`) {
    case 'POST /token':
      return mintFor(await readJson(request), options.minters);
    case 'GET /healthz': {
      const health = options.health();
      return { status: health.status === 'ok' ? 200 : 503, body: health };
    }
    default:
      throw new RequestError(404, 'there are POST /token and GET /healthz');
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    const part = Buffer.from(chunk);
    length += part.length;
    if (length > maxBodyBytes) throw new RequestError(413, `the body is longer than ${maxBodyBytes} bytes`);
    chunks.push(part);
  }
  if (length === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new RequestError(400, 'the body is not JSON');
  }
}

function mintFor(body: unknown, minters: HttpOptions['minters']): Answer {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new RequestError(400, 'the body must be an object: {"clientId": "1", "userData": "text"}');
  }
  const { clientId: askedId, userData, wire, ...rest } = Object.fromEntries(Object.entries(body));
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw new RequestError(400, `unknown field ${JSON.stringify(unknown)}`);
  if (userData !== undefined && typeof userData !== 'string')
    throw new RequestError(400, 'userData must be a string');
  const mint = minterFor(wire, minters);
  const clientId = askedId === undefined ? randomClientId() : readClientId(askedId);
  const token = mint({
    clientId,
    ...(userData === undefined ? {} : { userData: new TextEncoder().encode(userData) }),
  });
  return { status: 200, body: { token, clientId: String(clientId) } };
}

function minterFor(asked: unknown, minters: HttpOptions['minters']): MintText {
  const spoken = [...minters.keys()];
  const wire = asked === undefined ? spoken[0] : wires.find((each) => each === asked);
  if (wire === undefined)
    throw new RequestError(400, `wire must be ${wires.map((each) => `"${each}"`).join(' or ')}`);
  const mint = minters.get(wire);
  if (mint !== undefined) return mint;
  throw new RequestError(
    400,
    `this gateway speaks ${spoken.join(' and ')} only: start it with --wire ${wire} or --wire both`,
  );
}

function readClientId(value: unknown): bigint {
  // Beyond 2^53 a JSON number is another one than was written.
  if (typeof value === 'string' || Number.isSafeInteger(value)) {
    try {
      return u64.parse(String(value));
    } catch {
      // The answer below says what is allowed.
    }
  }
  throw new RequestError(400, 'clientId must be a whole number below 2^53, or a string of one below 2^64');
}

function refusal(error: unknown): Answer {
  if (error instanceof RequestError) return { status: error.status, body: { error: error.message } };
  if (error instanceof HawserError && error.code === 'ERR_HAWSER_ARGUMENT') {
    return { status: 400, body: { error: error.message } };
  }
  return { status: 500, body: { error: error instanceof Error ? error.message : String(error) } };
}

function send(response: ServerResponse, { status, body }: Answer): void {
  const content = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(content),
    // Tokens are secrets: no cache may keep one.
    'cache-control': 'no-store',
  });
  response.end(content);
}
