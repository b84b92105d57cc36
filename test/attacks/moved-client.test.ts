// Junk for the connection id of a peer, from other addresses, while an honest client behind a NAT gets another address.

import { once } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { type Connection, connect } from '../../src/index.js';
import { Nat } from '../transport/nat.js';
import {
  AttackedGateway,
  attackSeconds,
  channels,
  expectUnharmed,
  flood,
  HonestPeers,
  lasting,
  show,
} from './attack.js';
import { HostilePeer } from './hostile-peer.js';

/** First byte and connection id of a session packet. */
const sessionPrefixBytes = 9;
const junkBytes = 100;
const perSecond = 20_000;
/** A client that has little to say: its keep-alive. */
const sendEveryMs = 1000;

const closing: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of closing.splice(0)) await each.close();
});

/** The client sends messages until one comes back. @returns how many it sent. */
async function untilEchoed(connection: Connection<typeof channels>): Promise<number> {
  let sent = 0;
  const send = (): void => {
    ++sent;
    connection.send('state', new Uint8Array(8));
  };
  const echoed = new Promise<void>((resolve) => {
    connection.once('message', () => resolve());
  });
  send();
  const timer = setInterval(send, sendEveryMs);
  const ended = once(connection, 'disconnect').then(([info]) =>
    expect.fail(`the client was lost: ${info.result}`),
  );
  await Promise.race([echoed, ended]);
  clearInterval(timer);
  return sent;
}

interface Attacker {
  readonly name: string;
  /** Messages that the client may have to send at most until one is taken from its new address. */
  readonly attempts: number;
  /** Sources of the junk: 0 is one port of 127.0.0.1. */
  readonly sources: number;
  /** A session packet whose first bytes name the attacked connection. */
  readonly target: (gateway: AttackedGateway, lastSessionPacket: Uint8Array) => Promise<Uint8Array>;
}

const attackers: readonly Attacker[] = [
  {
    name: 'a token holder with its own connection id',
    attempts: 5,
    sources: 0,
    target: async (gateway) => {
      const hostile = await HostilePeer.connect({ token: await gateway.token(1n) });
      closing.push(hostile);
      return Uint8Array.of(0xb0, ...hostile.gatewayId);
    },
  },
  {
    name: "an observer of the client's connection id",
    attempts: 5,
    sources: 0,
    target: async (_, lastSessionPacket) => lastSessionPacket,
  },
  {
    name: "a spoofer of source addresses that knows the client's connection id",
    // As many as the connection's timeout allows.
    attempts: 20,
    sources: 200,
    target: async (_, lastSessionPacket) => lastSessionPacket,
  },
];

for (const { name, attempts, sources, target } of attackers) {
  test(`a client that moved is found while junk comes from ${name}`, async () => {
    const gateway = await AttackedGateway.start();
    const honest = await HonestPeers.connect(gateway, { count: 10, perSecond: 100, chatBytes: 200 });
    const seconds = attackSeconds(4);
    const { honest: quiet } = await honest.during(() => lasting(1000 * Math.min(seconds, 3)));
    const nat = await Nat.open('127.20.1.1');
    closing.push(nat);
    nat.gatewayPort = gateway.port;
    let lastSessionPacket: Uint8Array = new Uint8Array(0);
    nat.onDatagram = (direction, datagram, send) => {
      if (direction === 'up' && (datagram[0] ?? 0) >= 0xb0) lastSessionPacket = Uint8Array.from(datagram);
      send();
    };
    // The token lists the gateway's address for the gateway, and the client connects through the NAT.
    const token = await gateway.token(2n, { addresses: [nat.address, gateway.address] });
    const connection = await connect(token, { channels, address: '127.0.0.1:0' });
    closing.push(connection);
    await untilEchoed(connection);

    const template = new Uint8Array(junkBytes);
    template.set((await target(gateway, lastSessionPacket)).subarray(0, sessionPrefixBytes));
    const { honest: attacked } = await honest.during(async () => {
      const flooding = flood(gateway, { seconds, perSecond, template, keep: sessionPrefixBytes, sources });
      await lasting(1000);
      await nat.rebind('127.21.1.1');
      expect(await untilEchoed(connection)).toBeLessThanOrEqual(attempts);
      expect(await flooding).toBeGreaterThan(1000);
    });
    show(`junk from ${name}`, quiet, attacked);
    expect(connection.connected).toBe(true);
    expectUnharmed(quiet, attacked);
  });
}
