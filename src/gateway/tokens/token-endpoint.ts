// The HTTP side of a development gateway: tokens for whoever asks, and its health. It stands in for the backend that
// authenticates users in a real installation.

import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { HawserError } from '../../base/errors.js';
import { type Wire, wires } from '../../base/wire.js';
import { isLoopback } from '../config-check.js';
import { readU64 } from '../config-values.js';
import { type HttpEndpoint, openEndpoint } from '../http/endpoint.js';

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

/** What makes tokens: for each listener, for each wire format. */
export type Minters = ReadonlyMap<string, ReadonlyMap<Wire, MintText>>;

export interface TokenEndpointOptions {
  /** `host:port`, in canonical form. */
  readonly address: string;
  /** Of each listener by its name, for each wire format that it speaks. The first of each serves requests that name none. */
  readonly minters: () => Minters;
  /** The answer of /healthz, and whether the gateway takes new clients. */
  readonly health: () => Readonly<Record<string, unknown>> & { readonly status: 'ok' | 'draining' };
}

/**
 * Opens the endpoint.
 *
 * @param advice what to do when the address cannot be bound.
 * @throws HawserError (rejects) as `listenHttp`.
 */
export function openTokenEndpoint(options: TokenEndpointOptions, advice: string): Promise<HttpEndpoint> {
  return openEndpoint(options.address, advice, (request, response) => {
    answer(request, options).then(
      (given) => send(response, given),
      (error: unknown) => send(response, refusal(error)),
    );
  });
}

async function answer(request: IncomingMessage, options: TokenEndpointOptions): Promise<Answer> {
  // A name of somebody else's that resolves to this machine (DNS rebinding): for the browser what it answers is of that page.
  if (isLoopback(options.address) && !isLocalHost(request.headers.host)) {
    throw new RequestError(403, 'the Host header is neither an IP address nor localhost');
  }
  // Every browser says where a POST or a cross-origin GET comes from. No page has any business here, and whoever visits one must
  // not hand it tokens of a gateway on the same machine.
  if (request.headers.origin !== undefined) throw new RequestError(403, 'not for web pages');
  const [path] = (request.url ?? '').split('?');
  switch (`${request.method} ${path}`) {
    case 'POST /token':
      return mintFor(await readJson(request), options.minters());
    case 'GET /healthz': {
      const health = options.health();
      return { status: health.status === 'ok' ? 200 : 503, body: health };
    }
    default:
      throw new RequestError(404, 'there are POST /token and GET /healthz');
  }
}

function isLocalHost(host = ''): boolean {
  const name = host.replace(/:\d{1,5}$/, '').replace(/^\[(.*)\]$/, '$1');
  return name.toLowerCase() === 'localhost' || isIP(name) !== 0;
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

function mintFor(body: unknown, minters: Minters): Answer {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new RequestError(400, 'the body must be an object: {"clientId": "1", "userData": "text"}');
  }
  const { clientId: askedId, userData, wire, listener, ...rest } = Object.fromEntries(Object.entries(body));
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw new RequestError(400, `unknown field ${JSON.stringify(unknown)}`);
  if (userData !== undefined && typeof userData !== 'string')
    throw new RequestError(400, 'userData must be a string');
  const mint = minterFor(wire, mintersOf(listener, minters));
  const clientId = askedId === undefined ? randomBytes(8).readBigUInt64LE() : readClientId(askedId);
  const token = mint({
    clientId,
    ...(userData === undefined ? {} : { userData: new TextEncoder().encode(userData) }),
  });
  return { status: 200, body: { token, clientId: String(clientId) } };
}

function mintersOf(asked: unknown, minters: Minters): ReadonlyMap<Wire, MintText> {
  const [first] = minters.values();
  const found = asked === undefined ? first : typeof asked === 'string' ? minters.get(asked) : undefined;
  if (found !== undefined) return found;
  throw new RequestError(400, `listener must be one of ${[...minters.keys()].join(', ')}`);
}

function minterFor(asked: unknown, minters: ReadonlyMap<Wire, MintText>): MintText {
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
      return readU64('clientId', value);
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
  return { status: 500, body: { error: 'the gateway failed at this' } };
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
