// The store of sessions on an etcd that is reached by TLS: here by a way that speaks it, to one that does not.

import { once } from 'node:events';
import { connect } from 'node:net';
import { createServer, type Server } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EtcdServers, hasEtcd } from '../../../scripts/lib/etcd.mjs';
import { openEtcdStore } from '../../../src/sessions/store/etcd-store.js';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import * as identities from '../../interaction/tls-identity.js';
import { patience, patient, startMs } from '../etcd/real-etcd.js';
import { refusal } from './refusals.js';
import { put } from './tested-store.js';

const { device: node, controller: gateway } = identities;

describe.skipIf(!hasEtcd)('over TLS', () => {
  let servers: EtcdServers;
  let way: Server;
  let hosts: string;
  beforeAll(async () => {
    servers = await EtcdServers.start({ nodes: 1, args: patience });
    const port = Number(new URL(servers.node.url).port);
    const asked = { requestCert: true, rejectUnauthorized: true, ca: [gateway.cert] };
    way = createServer({ ...node, ...asked, ALPNProtocols: ['h2'] }, (near) => {
      const far = connect(port, '127.0.0.1');
      near.on('error', () => far.destroy());
      far.on('error', () => near.destroy());
      near.pipe(far).pipe(near);
    });
    way.on('tlsClientError', () => undefined);
    way.listen(0, '127.0.0.1');
    await once(way, 'listening');
    const address = way.address();
    hosts = `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  }, startMs);
  afterAll(async () => {
    way?.close();
    await servers?.kill();
  });

  const [rootCertificate, certChain, privateKey] = [node.cert, gateway.cert, gateway.key].map((text) =>
    Buffer.from(text),
  );

  test('a gateway that trusts the node, and shows its certificate, is served', async () => {
    if (!rootCertificate || !certChain || !privateKey) throw new Error('there is no certificate');
    const credentials = { rootCertificate, certChain, privateKey };
    await using store = await openEtcdStore({ hosts, credentials, ...patient });
    await store.txn({ compare: [], writes: [put('a/1', 'x')] });
    expect(await store.read(prefixRange('a/'))).toHaveLength(1);
  });

  test('one that does not trust it, or shows none, is not', async () => {
    if (!rootCertificate || !certChain) throw new Error('there is no certificate');
    const others = [undefined, { rootCertificate: certChain }, { rootCertificate }];
    for (const credentials of others) {
      const options = { hosts, ...(credentials && { credentials }) };
      expect((await refusal(openEtcdStore(options))).code).toBe('ERR_HAWSER_STORE_UNAVAILABLE');
    }
  });
});
