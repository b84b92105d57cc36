// REQUESTs and RESPONSEs that copy the clear part of a real token and carry junk behind it, from random source networks.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { Client } from '../../src/index.js';
import { ReferenceClient } from '../reference/endpoints.js';
import { feature, ready } from '../reference/hawser1.js';
import {
  AttackedGateway,
  attackSeconds,
  channels,
  expectUnharmed,
  flood,
  gatewayChannels,
  HonestPeers,
  isLong,
  lasting,
  nativeFlood,
  show,
} from './attack.js';

/** Datagrams a second of the short form. */
const perSecond = 20_000;
const sources = 256;
/** Type and clear part of the token in a REQUEST or RESPONSE (docs/protocol.md section 3). */
const clearBytes = 41;
const handshakes = 100;
const requiredPart = 0.95;
const limitMs = 5000;

let client: Client<typeof channels> | undefined;
afterEach(async () => {
  await client?.close();
  client = undefined;
});

/** A real REQUEST and RESPONSE of a client that connected. */
async function realDatagrams(
  gateway: AttackedGateway,
): Promise<{ request: Uint8Array; response: Uint8Array }> {
  await ready;
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const real = new ReferenceClient({
    token: await gateway.token(1n),
    features: feature.channels,
    channels: gatewayChannels,
    sendDatagram: (datagram, to) => socket.send(datagram, to.port, to.host),
  });
  const responded = new Promise<void>((resolve) => {
    socket.on('message', (datagram, from) => {
      real.receive(datagram, { host: from.address, port: from.port });
      if (real.response.length > 0) resolve();
    });
  });
  real.start();
  await responded;
  socket.close();
  return { request: real.request, response: real.response };
}

for (const kind of ['request', 'response'] as const) {
  test(`at least 95 % of handshakes complete within 5 s while junk ${kind.toUpperCase()}s arrive`, async () => {
    const gateway = await AttackedGateway.start();
    const honest = await HonestPeers.connect(gateway, { count: 20, perSecond: 200, chatBytes: 200 });
    const template = (await realDatagrams(gateway))[kind];
    const seconds = attackSeconds(7);
    const { honest: quiet } = await honest.during(() => lasting(2000));
    const opened = await Client.open({ address: '0.0.0.0:0', channels });
    client = opened;
    const tokens: Uint8Array[] = [];
    for (let index = 0; index < handshakes; ++index) tokens.push(await gateway.token(BigInt(100 + index)));

    const { honest: attacked, result } = await honest.during(async () => {
      const flooding = isLong
        ? nativeFlood(gateway, `${kind}s`, seconds)
        : flood(gateway, { seconds, perSecond, template, keep: clearBytes, sources });
      await lasting(500);
      const attempts = await Promise.allSettled(
        tokens.map((token, index) =>
          // Each from a network of its own, as the junk is.
          opened.connect(token, { timeoutMs: limitMs, localAddress: `127.${100 + index}.7.1` }),
        ),
      );
      const sent = await flooding;
      expect(sent).toBeGreaterThan(10_000);
      return { sent, completed: attempts.filter(({ status }) => status === 'fulfilled').length };
    });
    const { sent, completed } = result;
    show(
      `${sent} junk ${kind.toUpperCase()}s in ${seconds} s: ${completed} of ${handshakes} handshakes completed`,
      quiet,
      attacked,
    );
    expect(completed).toBeGreaterThanOrEqual(requiredPart * handshakes);
    expectUnharmed(quiet, attacked);
  });
}
