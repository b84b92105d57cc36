// Pages of the peers of a real gateway.

import { expect, test } from 'vitest';
import { type PeersQuery, peerOrders } from '../../../src/gateway/snapshot.js';
import { formatKey } from '../../../src/token/server-key.js';
import { connect } from '../../../src/transport/client.js';
import { key, openTest, tokenFor } from '../support.js';

test('pages hold each peer of all listeners once, by age in the order in which they connected', async () => {
  const listeners = [{ name: 'a' }, { name: 'b' }];
  await using gateway = await openTest({ keys: [formatKey(key)], listeners });
  const connectTo = async (listener: string, clientId: bigint): Promise<AsyncDisposable> =>
    connect(await tokenFor(gateway, listener, { clientId }));
  await using _1 = await connectTo('a', 1n);
  await using _2 = await connectTo('b', 2n);
  await using _3 = await connectTo('a', 3n);
  await using _4 = await connectTo('a', 4n);
  await using _5 = await connectTo('b', 5n);
  const ids = (query: PeersQuery): string[] =>
    gateway.peers(query).peers.map(({ listener, clientId }) => `${listener}${clientId}`);
  for (const order of peerOrders) {
    const pages = [0, 2, 4, 6].map((offset) => ids({ order, limit: 2, offset }));
    expect(pages.map(({ length }) => length)).toEqual([2, 2, 1, 0]);
    expect(pages.flat()).toEqual(ids({ order }));
    expect(pages.flat().toSorted()).toEqual(['a1', 'a3', 'a4', 'b2', 'b5']);
  }
  expect(ids({ listener: 'a' })).toEqual(['a1', 'a3', 'a4']);
  expect(ids({ listener: 'a', order: 'newest' })).toEqual(['a4', 'a3', 'a1']);
  const { peers } = gateway.peers();
  const times = peers.map(({ connectedAtMs }) => connectedAtMs);
  expect(times).toEqual(times.toSorted((one, other) => one - other));
  expect(gateway.peers({ order: 'newest' }).peers.map(({ id }) => id)).toEqual(
    peers.map(({ id }) => id).toReversed(),
  );
});
