// The backend that admits users: it checks who they are in its own way and mints a connect token for the gateways. It needs no
// native addon.
//
//   HAWSER_KEY=... GATEWAYS=192.0.2.1:4433,192.0.2.2:4433 node examples/token-backend.ts [port]
//
// POST /token with {"user": "ann"} answers with the token as text. Serve it over TLS: a token is a secret.

import { createServer, type IncomingMessage } from 'node:http';
import { createTokenMinter, encodeToken, HawserError } from 'hawser/token';

const { HAWSER_KEY, GATEWAYS } = process.env;
if (HAWSER_KEY === undefined || GATEWAYS === undefined) {
  throw new Error('set HAWSER_KEY to a server key and GATEWAYS to the addresses of the gateways');
}

const minter = await createTokenMinter({
  protocolId: 1n,
  key: HAWSER_KEY,
  addresses: GATEWAYS.split(','),
  lifetimeMs: 60_000,
});

// Stands for the user database: everybody is somebody, and always the same.
const clientIds = new Map<string, bigint>();

function admit(user: unknown): bigint | undefined {
  if (typeof user !== 'string' || user === '') return undefined;
  const known = clientIds.get(user) ?? BigInt(clientIds.size + 1);
  clientIds.set(user, known);
  return known;
}

const maxBodyBytes = 1024;

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  let body = '';
  for await (const chunk of request) {
    body += String(chunk);
    if (body.length > maxBodyBytes) break;
  }
  const value: unknown = JSON.parse(body);
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

const http = createServer(async (request, response) => {
  const answer = (status: number, text: string): void => {
    response.writeHead(status, { 'content-type': 'text/plain', 'cache-control': 'no-store' }).end(text);
  };
  if (request.method !== 'POST' || request.url !== '/token')
    return answer(404, 'POST /token is all there is');
  try {
    const { user } = await readJson(request);
    const clientId = admit(user);
    if (clientId === undefined) return answer(403, 'who are you?');
    answer(200, encodeToken(minter.mint({ clientId, userData: new TextEncoder().encode(String(user)) })));
  } catch (error) {
    if (error instanceof HawserError) answer(500, error.code);
    else answer(400, 'not JSON');
  }
});

http.listen(Number(process.argv[2] ?? 8080), '127.0.0.1', () => {
  const address = http.address();
  if (typeof address === 'object') console.log(`http://127.0.0.1:${address?.port}/token`);
});
