// A confirmation that the network delays: the first attempt's confirming packet arrives after the client connected by a second attempt.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { ReferenceClient } from '../reference/endpoints.js';
import { feature, ready } from '../reference/hawser1.js';
import { AttackedGateway, expectUnharmed, gatewayChannels, HonestPeers, lasting, show } from './attack.js';
import { HostilePeer } from './hostile-peer.js';

/** Time in which the gateway would tell the newer connection that it was replaced. */
const settleMs = 1500;

test('a confirmation that arrives late does not end the connection of a newer attempt', async () => {
  await ready;
  const gateway = await AttackedGateway.start();
  const honest = await HonestPeers.connect(gateway, { count: 10, perSecond: 50, chatBytes: 200 });
  const { honest: quiet } = await honest.during(() => lasting(1000));
  const clientId = 7n;
  const token = await gateway.token(clientId);

  const { honest: attacked } = await honest.during(async () => {
    // The first attempt has its ACCEPT, but its session packets stay in the network.
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const delayed: Uint8Array[] = [];
    const older = new ReferenceClient({
      token,
      features: feature.channels,
      channels: gatewayChannels,
      sendDatagram: (datagram, to) => {
        if (older.state === 'CONFIRMING') delayed.push(Uint8Array.from(datagram));
        else socket.send(datagram, to.port, to.host);
      },
    });
    const accepted = new Promise<void>((resolve) => {
      socket.on('message', (datagram, from) => {
        older.receive(datagram, { host: from.address, port: from.port });
        if (older.state === 'CONFIRMING') resolve();
      });
    });
    older.start();
    await accepted;

    const newer = await HostilePeer.connect({ token });
    for (const datagram of delayed) socket.send(datagram, gateway.port, '127.0.0.1');
    await lasting(settleMs);
    expect(newer.disconnectCode).toBe(undefined);
    const { connected, endings } = await gateway.report();
    expect(connected).toContain(String(clientId));
    expect(endings.filter((ending) => ending.clientId === String(clientId))).toEqual([]);
    socket.close();
    newer.close();
  });
  show('a delayed confirmation', quiet, attacked);
  expectUnharmed(quiet, attacked);
});
