// A pair of KMEs with real certificates, and clients of them.

import type { KeyObject } from 'node:crypto';
import { HawserError } from '../../../src/base/errors.js';
import { CertificateAuthority, type Identity } from '../../../src/keys/kme/certificates.js';
import { KeyPool, type KeyPoolOptions } from '../../../src/keys/kme/key-pool.js';
import type { DeliveredKey } from '../../../src/keys/kme/key-source.js';
import { KmeClient } from '../../../src/keys/kme/kme-client.js';
import type { KmeClientOptions } from '../../../src/keys/kme/kme-client-options.js';
import { KmeServer } from '../../../src/keys/kme/kme-server.js';
import type { KmeServerOptions, ServedRequest } from '../../../src/keys/kme/kme-server-options.js';

export const authority: CertificateAuthority = CertificateAuthority.make({ name: 'test authority' });
export const strangerAuthority: CertificateAuthority = CertificateAuthority.make({
  name: 'another authority',
});

/** What TLS takes of an identity. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string | Buffer;
}

export function tlsOf({ certificate, privateKey }: Identity): TlsIdentity {
  return { cert: certificate, key: pemOf(privateKey) };
}

export function pemOf(key: KeyObject): string | Buffer {
  return key.export({ type: 'pkcs8', format: 'pem' });
}

const kmeIdentities = {
  KME_A: tlsOf(authority.kme({ id: 'KME_A' })),
  KME_B: tlsOf(authority.kme({ id: 'KME_B' })),
} as const;

export const saeIdentities = {
  SAE_1: tlsOf(authority.sae({ id: 'SAE_1' })),
  SAE_2: tlsOf(authority.sae({ id: 'SAE_2' })),
  SAE_3: tlsOf(authority.sae({ id: 'SAE_3' })),
} as const;

export type TestSae = keyof typeof saeIdentities;

/** Of clients that are not about their time-outs: longer than a machine stands still. */
const patience = { connectTimeoutMs: 60_000, answerTimeoutMs: 60_000, timeoutMs: 110_000 } as const;

/** KME_A and KME_B, and what was asked of them. */
export interface Pair extends AsyncDisposable {
  readonly pool: KeyPool;
  readonly a: KmeServer;
  readonly b: KmeServer;
  readonly requests: ServedRequest[];
  readonly refused: string[];
  client(saeId: TestSae, server: KmeServer, options?: Partial<KmeClientOptions>): KmeClient;
}

export async function openPair(
  poolOptions: KeyPoolOptions = {},
  serverOptions: Partial<KmeServerOptions> = {},
): Promise<Pair> {
  const pool = new KeyPool(poolOptions);
  const requests: ServedRequest[] = [];
  const refused: string[] = [];
  const clients: KmeClient[] = [];
  const listen = (kmeId: 'KME_A' | 'KME_B', targetKmeId: string): Promise<KmeServer> =>
    KmeServer.listen({
      kmeId,
      targetKmeId,
      pool,
      ca: authority.certificate,
      ...kmeIdentities[kmeId],
      onRequest: (request) => requests.push(request),
      onRefused: (reason) => refused.push(reason),
      ...serverOptions,
    });
  const [a, b] = await Promise.all([listen('KME_A', 'KME_B'), listen('KME_B', 'KME_A')]);
  return {
    pool,
    a,
    b,
    requests,
    refused,
    client: (saeId, server, options) => {
      const client = new KmeClient({
        url: server.url,
        ...clientTls(saeId),
        retryMs: 1,
        ...patience,
        ...options,
      });
      clients.push(client);
      return client;
    },
    [Symbol.asyncDispose]: async () => {
      for (const client of clients) client.close();
      await Promise.all([a.close(), b.close()]);
      pool.close();
    },
  };
}

export function clientTls(saeId: TestSae): TlsIdentity & { readonly ca: string } {
  return { ca: authority.certificate, ...saeIdentities[saeId] };
}

/** The error that a promise is rejected with. */
export async function failureOf(promise: Promise<unknown>): Promise<HawserError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof HawserError) return error;
    throw error;
  }
  throw new Error('nothing failed');
}

export function idsOf(keys: readonly DeliveredKey[]): readonly string[] {
  return keys.map(({ keyId }) => keyId);
}
