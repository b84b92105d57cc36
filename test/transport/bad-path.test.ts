// Transfers over real sockets and a path that loses and reorders datagrams, changes the client's address and fails for a while, for each
// driver.

import { describe, expect, onTestFinished, test } from 'vitest';
import {
  bytes,
  Client,
  type Connection,
  type Peer,
  reliableUnordered,
  type Server,
} from '../../src/index.js';
import { Relay } from './relay.js';
import { next, RealWorld, realSockets } from './support.js';

const longestMessage = 8 * 1024;
const channels = { files: reliableUnordered(bytes(), { maxMessageBytes: longestMessage }) };
type Files = typeof channels;

/** Windows that a transfer outgrows at once. */
const credit = { creditBytes: 64 * 1024, channelCreditBytes: 32 * 1024, maxCreditBytes: 1024 * 1024 };
const messages = 128;

/** A message that tells its number in each word. */
const numbered = (number: number): Uint8Array =>
  new Uint8Array(new Uint32Array(longestMessage / 4).fill(number).buffer);

/** Sends `messages` messages from `first` on, as fast as the queue takes them. */
async function send(side: Connection<Files> | Peer<Files>, first: number): Promise<void> {
  for (let number = first; number < first + messages; ++number)
    if (!side.send('files', numbered(number))) await side.sent();
}

/** Collects the numbers of messages and tells when there are enough. */
class Received {
  readonly numbers: number[] = [];
  #wanted = 0;
  #resolve: () => void = () => undefined;

  take(data: Uint8Array): void {
    const words = new Uint32Array(data.slice().buffer);
    expect(words.every((word) => word === words[0])).toBe(true);
    this.numbers.push(words[0] ?? -1);
    if (this.numbers.length === this.#wanted) this.#resolve();
  }

  until(wanted: number): Promise<void> {
    this.#wanted = wanted;
    if (this.numbers.length >= wanted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe.each(realSockets)('a bad path %s', (_name, sockets) => {
  test.each(['bbr', 'cubic'] as const)(
    'carries transfers in both directions, also behind another address and after an outage: %s',
    async (congestion) => {
      const world = new RealWorld(sockets);
      const relay = await Relay.open({ loseOneIn: 71, holdBackOneIn: 23, holdBackMs: 10 });
      const options = { channels, congestion, ...credit };
      const { threads: _, ...ofClient } = sockets;
      const client = await Client.open<Files>({ address: '127.0.0.1:0', ...ofClient, ...options });
      onTestFinished(async () => {
        await world.close();
        await client.close();
        relay.close();
      });
      const server: Server<Files> = await world.listen<Files>({
        ...options,
        publicAddresses: [relay.address],
      });
      relay.gateway = server.address;
      const atServer = new Received();
      const atClient = new Received();
      server.on('message', (_peer, data) => atServer.take(data));
      const connected = next(server, 'connect');
      const connection = await world.connect<Files>(await world.token(server), { client });
      connection.on('message', (data) => atClient.take(data));
      const [peer] = await connected;
      // The address changes before the second transfer and in the middle of the third one. The fourth one begins in an outage.
      for (let round = 0; round < 4; ++round) {
        const first = round * messages;
        if (round === 1) await relay.changeAddress();
        const outage = round === 3 ? relay.outage() : undefined;
        const sent = [send(connection, first), send(peer, first)];
        await outage;
        if (round === 2) {
          await Promise.all([atServer.until(first + messages / 4), atClient.until(first + messages / 4)]);
          await relay.changeAddress();
        }
        await Promise.all([...sent, atServer.until(first + messages), atClient.until(first + messages)]);
        const expected = upTo(first + messages);
        expect(atServer.numbers.toSorted((a, b) => a - b)).toEqual(expected);
        expect(atClient.numbers.toSorted((a, b) => a - b)).toEqual(expected);
        expect(server.stats.counters.movesCompleted).toBe(Math.min(round, 2));
      }
      for (const { counters } of [server.stats, client.stats]) {
        expect(counters.grownCreditBytes).toBeGreaterThan(0);
        expect(counters.packetsLost).toBeGreaterThan(0);
        expect(counters.peersDisconnected).toBe(0);
      }
      for (const direction of [relay.up, relay.down]) {
        expect(direction.lost).toBeGreaterThan(0);
        expect(direction.heldBack).toBeGreaterThan(0);
      }
      expect(connection.connected).toBe(true);
    },
  );
});
