// What earlier releases have left: their stores are opened and used, their tokens and datagrams understood. The releases
// themselves are tried by `npm run test:previous`.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { isIntact, previousRelease } from '../../scripts/release/previous-package.mjs';
import * as hawser from '../../src/index.js';
import * as keys from '../../src/keys/index.js';
import * as sessions from '../../src/sessions/index.js';
import * as sync from '../../src/sync/index.js';
import * as testing from '../../src/testing/index.js';
import * as token from '../../src/token/index.js';
import { pay } from './previous/client.mjs';
import { replayToClient, replayToGateway } from './previous/conversation.mjs';
import { checkVisit } from './previous/expectations.mjs';
import { openGateway } from './previous/gateway.mjs';
import { protocolId, serverKey, userData } from './previous/package.mjs';
import { recordedOf, recordedVersions, unpackStores } from './previous/recorded.mjs';

const today = { hawser, keys, sessions, sync, testing, token };
const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

test('the release before this one has left its stores, tokens and datagrams', () => {
  expect(recordedVersions()).toContain(previousRelease().version);
});

test('a tarball of a registry counts when it has the bytes that were published', () => {
  const integrity =
    'sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==';
  expect(isIntact(new Uint8Array(0), integrity)).toBe(true);
  expect(isIntact(new Uint8Array(1), integrity)).toBe(false);
});

describe.each(recordedVersions())('what release %s has left', (version) => {
  const { session, conversations } = recordedOf(version);

  test('its stores go on here: sessions and counts, documents, queues and keys', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hawser-previous-'));
    folders.push(folder);
    unpackStores(version, folder);
    const gateway = await openGateway(today, join(folder, 'gateway'));
    const visit = { number: 2, addresses: gateway.addresses, folder: join(folder, 'client'), session };
    // Also when the visit fails the gateway is closed.
    const [outcome] = await Promise.allSettled([pay(today, visit)]);
    const report = await gateway.close();
    if (outcome.status === 'rejected') throw outcome.reason;
    checkVisit(visit.number, outcome.value, report);
  });

  test.each(conversations)(
    'a gateway of today hears all that its client says in $recording.wire',
    async (said) => {
      expect(said.gateway.length).toBeGreaterThan(2);
      expect(await replayToGateway(today, said.recording)).toEqual(said.gateway);
    },
  );

  test.each(conversations)(
    'a client of today hears all that its gateway says in $recording.wire',
    async (said) => {
      expect(said.client.length).toBeGreaterThan(1);
      expect(await replayToClient(today, said.recording)).toEqual(said.client);
    },
  );

  test.each(conversations)('its token for $recording.wire opens with the key', async ({ recording }) => {
    const opened =
      recording.wire === 'netcode'
        ? await token.openNetcodeToken(recording.token, [serverKey])
        : await token.openToken(recording.token, [serverKey]);
    expect(opened).toMatchObject({
      protocolId,
      clientId: 1n,
      addresses: [{ host: '10.0.0.1', port: 40_000 }],
    });
    expect(opened.userData.subarray(0, userData.length)).toEqual(userData);
  });
});
