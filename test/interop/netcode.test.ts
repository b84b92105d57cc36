// Netcode 1.02: the addon against an implementation of its standard that shares no code with it (test/reference), in both roles,
// through every transition of the standard's states. The same scenarios run over real sockets and in a simulated network; those
// that take long, or are about time, run in virtual time alone. docs/conformance/netcode.md says which line is tested where.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Server } from '../../src/index.js';
import { concat, toHex, u32, utf8 } from '../reference/bytes.js';
import type { Endpoint } from '../reference/endpoints.js';
import * as netcode from '../reference/netcode.js';
import { clientState } from '../reference/netcode-endpoints.js';
import { next, protocolId } from '../transport/support.js';
import {
  type Carrier,
  carriers,
  type Family,
  type Heard,
  type Host,
  type Joined,
  ofType,
  type Place,
  typeOf,
  VirtualCarrier,
} from './netcode-support.js';

beforeAll(() => netcode.ready);

const { packetType } = netcode;
const {
  tokenExpired,
  invalidToken,
  timedOut,
  responseTimedOut,
  requestTimedOut,
  denied,
  disconnected,
  sendingRequest,
  sendingResponse,
  connected,
} = clientState;
const nothing = new Uint8Array(0);
const families: readonly Family[] = ['IPv4', 'IPv6'];
const sizes = [1, 2, 25, 64, 300, 1158, 1199, 1200];

function message(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, index) => index * 7 + size);
}

/** Milliseconds between one time and the next. */
function intervals(times: readonly number[]): number[] {
  return times.slice(1).map((time, index) => time - (times[index] ?? 0));
}

/** The engine's timers have ticks of a millisecond. */
function expectTenHertz(times: readonly number[]): void {
  for (const interval of intervals(times)) {
    expect(interval).toBeGreaterThanOrEqual(99);
    expect(interval).toBeLessThanOrEqual(102);
  }
}

const lengths = (heard: readonly Heard[]): (readonly [number, number])[] =>
  heard.map(({ datagram }) => [typeOf(datagram), datagram.length]);

/** Bytes of the sequence number and the number itself. */
function sequenceOf(datagram: Uint8Array): readonly [number, bigint] {
  const taken = [...netcode.takenByClient, ...netcode.takenByServer];
  const { length, sequence } = netcode.decodeHeader(datagram, taken);
  return [length - 1, sequence];
}

const isResponse = (datagram: Uint8Array): boolean => typeOf(datagram) === packetType.response;

/** The server has no room from the first RESPONSE on. */
function fillOnResponse({ server, place }: Host): void {
  place.listens = (datagram) => {
    if (isResponse(datagram)) server.slots.length = 0;
    return true;
  };
}

function ignoreResponses({ place }: Host): void {
  place.listens = (datagram) => !isResponse(datagram);
}

describe.each(carriers)('netcode %s', (_name, makeCarrier) => {
  const closing: Promise<void>[] = [];
  let carrier: Carrier;

  beforeEach(() => {
    carrier = makeCarrier();
  });
  afterEach(() => {
    closing.push(carrier.close());
  });
  afterAll(() => Promise.all(closing));

  describe('a reference client at a gateway', () => {
    /** Messages go through, and nothing else than messages is delivered. */
    async function expectTalk(server: Server, { client, peer }: Joined): Promise<void> {
      const before = client.messages.length;
      const heard = next(server, 'message');
      client.send(utf8('up'));
      const [from, data] = await carrier.world.until(heard);
      expect([from, toHex(data)]).toEqual([peer, toHex(utf8('up'))]);
      peer.send(utf8('down'));
      await carrier.until(() => client.messages.length > before);
      expect(client.messages.slice(before)).toEqual([utf8('down')]);
    }

    test.each(families)(
      'goes from 0 over 1 and 2 to 3, and both know what the token says (%s)',
      async (family) => {
        const server = await carrier.gateway({ maxPeers: 300 }, family);
        const userData = Uint8Array.from({ length: 256 }, (_, index) => 255 - index);
        const minting = { clientId: 0xffff_ffff_ffff_fff1n, timeout: 67, userData };
        const joined = await carrier.join(server, minting, { family });
        const { client, peer, place } = joined;
        expect(client.states).toEqual([disconnected, sendingRequest, sendingResponse, connected]);
        expect(client.slot).toEqual({ clientIndex: 0, maxClients: 300 });
        expect([peer.wire, peer.clientId, peer.timeoutMs]).toEqual(['netcode', minting.clientId, 67_000]);
        expect([peer.clientIndex, peer.maxClients, peer.address]).toEqual([0, 300, place.address]);
        expect(peer.localAddress).toBe(server.address);
        expect(toHex(peer.userData)).toBe(toHex(userData));
        expect(peer.tokenExpireTimeMs).toBe(Number(client.token.expire) * 1000);
        await expectTalk(server, joined);
        expect(client.drops).toEqual([]);
        expect(Object.values(server.stats.drops).every((count) => count === 0)).toBe(true);
      },
    );

    test('a handshake is REQUEST 1,078, CHALLENGE 333, RESPONSE 326 and KEEP_ALIVE 26 bytes long', async () => {
      const server = await carrier.gateway();
      const { place } = await carrier.join(server, {}, { ticks: false });
      expect(place.sent.map((datagram) => [typeOf(datagram), datagram.length])).toEqual([
        [packetType.request, 1078],
        [packetType.response, 326],
      ]);
      expect(lengths(place.heard).slice(0, 2)).toEqual([
        [packetType.challenge, 333],
        [packetType.keepAlive, 26],
      ]);
      const [challenge, keepAlive] = place.heard.map(({ datagram }) => sequenceOf(datagram));
      // The upper half of all numbers: no session of the same keys gets there.
      expect(challenge?.[1]).toBeGreaterThanOrEqual(1n << 63n);
      expect(keepAlive).toEqual([1, 0n]);
    });

    test('messages of every size go both ways, one at a time and many in one turn', async () => {
      const server = await carrier.gateway();
      const { client, peer } = await carrier.join(server);
      server.on('message', (from, data) => from.send(data));
      for (const [index, size] of sizes.entries()) {
        client.send(message(size));
        await carrier.until(() => client.messages.length > index);
      }
      for (const size of sizes) peer.send(message(size));
      await carrier.until(() => client.messages.length === 2 * sizes.length);
      expect(client.messages).toEqual([...sizes, ...sizes].map(message));
      expect(server.stats.counters.messagesReceived).toBe(sizes.length);
      expect(client.drops).toEqual([]);
    });

    test('each packet counts one up, in as few bytes as the number needs', async () => {
      const server = await carrier.gateway();
      const { client, peer, place } = await carrier.join(server);
      for (let count = 0; count < 300; ++count) {
        peer.send(message(1));
        if (count % 20 === 0) await carrier.until(() => client.messages.length > count);
      }
      await carrier.until(() => client.messages.length === 300);
      const numbers = place.heard
        .filter(({ datagram }) => netcode.isReplayProtected(typeOf(datagram)))
        .map(({ datagram }) => sequenceOf(datagram));
      expect(numbers.length).toBeGreaterThanOrEqual(301);
      for (const [index, number] of numbers.entries()) {
        const sequence = BigInt(index);
        expect(number).toEqual([netcode.sequenceBytes(sequence), sequence]);
      }
    });

    test('sequence numbers of 1 to 8 bytes are taken, also in more bytes than they need, and 2^64 - 1 too', async () => {
      const server = await carrier.gateway();
      const { client } = await carrier.join(server, {}, { ticks: false });
      const heard: string[] = [];
      server.on('message', (_, data) => heard.push(toHex(data)));
      const numbers = [
        1n,
        2n,
        ...[8n, 16n, 24n, 32n, 40n, 48n, 56n].flatMap((bits) => [(1n << bits) - 1n, 1n << bits]),
      ];
      numbers.push((1n << 64n) - 2n, (1n << 64n) - 1n);
      const expected: string[] = [];
      for (const [index, sequence] of numbers.entries()) {
        const least = netcode.sequenceBytes(sequence);
        const sequenceBytes = least + (index % (9 - least));
        client.sendPacket(packetType.payload, u32(index), { sequence, sequenceBytes });
        expected.push(toHex(u32(index)));
        await carrier.until(() => heard.length > index);
      }
      expect(heard).toEqual(expected);
    });

    test('is challenged, then connected but unconfirmed, and confirmed by its KEEP_ALIVE', async () => {
      const server = await carrier.gateway();
      const { client, place } = await carrier.guest(carrier.mint([server]), { ticks: false });
      place.listens = () => false;
      client.start(carrier.nowMs());
      await carrier.until(() => place.heard.length === 1);
      expect(server.peers.size).toBe(0);
      expect(server.stats.counters).toMatchObject({
        halfOpen: 1,
        challengesSent: 1,
        peers: 0,
        handshakesCompleted: 0,
      });
      const challenge = place.heard[0]?.datagram ?? expect.fail('no CHALLENGE');
      client.receive(challenge, serverOf(client.server), carrier.nowMs());
      await carrier.until(() => server.peers.size === 1);
      expect(server.stats.counters).toMatchObject({ halfOpen: 0, handshakesCompleted: 1 });
      const [peer] = server.peers;

      place.heard.length = 0;
      for (let count = 0; count < 3; ++count) peer?.send(message(8));
      await carrier.until(() => ofType(packetType.payload, place.heard).length === 3);
      for (const [index, { datagram }] of place.heard.entries()) {
        if (typeOf(datagram) !== packetType.payload) continue;
        expect(typeOf(place.heard[index - 1]?.datagram ?? nothing)).toBe(packetType.keepAlive);
      }

      const before = server.stats.counters.packetsOpened;
      client.sendPacket(packetType.keepAlive, new Uint8Array(8));
      await carrier.until(() => server.stats.counters.packetsOpened > before);
      await carrier.settle(server);
      await expectNoPrefix(place, () => peer?.send(message(8)));
    });

    test('is confirmed by its PAYLOAD', async () => {
      const server = await carrier.gateway();
      const { client, peer, place } = await carrier.join(server, {}, { ticks: false });
      place.listens = () => false;
      const heard = next(server, 'message');
      client.send(message(1));
      await carrier.world.until(heard);
      await expectNoPrefix(place, () => peer.send(message(8)));
    });

    /** Of payloads in one turn none has a KEEP_ALIVE before it, but one that was due anyway has. */
    async function expectNoPrefix(place: Place, send: () => void): Promise<void> {
      place.heard.length = 0;
      for (let count = 0; count < 5; ++count) send();
      await carrier.until(() => ofType(packetType.payload, place.heard).length === 5);
      const types = place.heard.map(({ datagram }) => typeOf(datagram));
      const first = types.indexOf(packetType.payload);
      expect(types.slice(first, first + 5)).toEqual(new Array<number>(5).fill(packetType.payload));
    }

    test('its DISCONNECT frees the slot, and the index is given again', async () => {
      const server = await carrier.gateway();
      const [first, second] = [await carrier.join(server), await carrier.join(server)];
      expect([first, second].map(({ peer }) => peer.clientIndex)).toEqual([0, 1]);
      const ended = next(server, 'disconnect');
      first.client.disconnect();
      expect(await carrier.world.until(ended)).toEqual([
        first.peer,
        { result: 'disconnected', code: 0, reason: '', reconnectSpreadMs: 0 },
      ]);
      expect(first.client.states.at(-1)).toBe(disconnected);
      const third = await carrier.join(server);
      expect([third.peer.clientIndex, third.client.slot?.clientIndex]).toEqual([0, 0]);
      await expectTalk(server, second);
    });

    test("the gateway's disconnect is ten DISCONNECTs of 18 bytes, leads to 0 and frees the slot", async () => {
      const server = await carrier.gateway();
      const { client, peer, place } = await carrier.join(server);
      const ended = next(server, 'disconnect');
      expect(peer.disconnect()).toBe(true);
      expect((await carrier.world.until(ended))[1].result).toBe('closed');
      await carrier.until(() => ofType(packetType.disconnect, place.heard).length === 10);
      await carrier.settle(server);
      const disconnects = ofType(packetType.disconnect, place.heard);
      expect(disconnects.map(({ length }) => length)).toEqual(new Array<number>(10).fill(18));
      expect(new Set(disconnects.map((datagram) => sequenceOf(datagram)[1])).size).toBe(10);
      expect(client.states.slice(-2)).toEqual([connected, disconnected]);
      expect((await carrier.join(server)).peer.clientIndex).toBe(0);
    });

    test('a full gateway answers REQUEST with DENIED, 25 bytes: from 1 to -1', async () => {
      const server = await carrier.gateway({ maxPeers: 1 });
      await carrier.join(server);
      const { client, place } = await carrier.guest(carrier.mint([server]));
      client.start(carrier.nowMs());
      await carrier.until(() => client.ended);
      expect(client.states).toEqual([disconnected, sendingRequest, denied]);
      expect(lengths(place.heard)).toEqual([[packetType.denied, 25]]);
      expect(server.stats.counters).toMatchObject({ deniedSent: 1, challengesSent: 1 });
    });

    test('a gateway that became full since its CHALLENGE answers RESPONSE with DENIED: from 2 to -1', async () => {
      const server = await carrier.gateway({ maxPeers: 1 });
      const { client, place } = await carrier.guest(carrier.mint([server]), { ticks: false });
      place.listens = () => false;
      client.start(carrier.nowMs());
      await carrier.until(() => place.heard.length === 1);
      await carrier.join(server);
      place.listens = () => true;
      client.receive(place.heard[0]?.datagram ?? nothing, serverOf(client.server), carrier.nowMs());
      await carrier.until(() => client.ended);
      expect(client.states).toEqual([disconnected, sendingRequest, sendingResponse, denied]);
      expect(server.peers.size).toBe(1);
    });

    test('a gateway that drains denies', async () => {
      const server = await carrier.gateway();
      const joined = await carrier.join(server);
      const drained = server.drain({ deadlineMs: 60_000 });
      const { client } = await carrier.guest(carrier.mint([server]));
      client.start(carrier.nowMs());
      await carrier.until(() => client.ended);
      expect(client.states.at(-1)).toBe(denied);
      await expectTalk(server, joined);
      joined.client.disconnect();
      await carrier.world.until(drained);
    });

    test('goes on to the next gateway of its token when the first one denies', async () => {
      const [full, server] = [await carrier.gateway({ maxPeers: 1 }), await carrier.gateway()];
      await carrier.join(full);
      const guest = await carrier.guest(carrier.mint([full, server]));
      guest.client.start(carrier.nowMs());
      const peer = await carrier.connected(server, guest);
      expect(guest.client.states).toEqual([
        disconnected,
        sendingRequest,
        sendingRequest,
        sendingResponse,
        connected,
      ]);
      await expectTalk(server, { ...guest, peer });
    });

    test('repeats what was lost: REQUEST is challenged anew, and KEEP_ALIVE comes without a further RESPONSE', async () => {
      const server = await carrier.gateway();
      const guest = await carrier.guest(carrier.mint([server]));
      const { client, place } = guest;
      let lost = 0;
      place.listens = (datagram) => {
        const type = typeOf(datagram);
        return ofType(type, place.heard).length > 1 || ++lost === 0;
      };
      client.start(carrier.nowMs());
      await carrier.connected(server, guest);
      expect(client.states).toEqual([disconnected, sendingRequest, sendingResponse, connected]);
      expect(lost).toBe(2);
      expect(server.stats.counters.challengesSent).toBeGreaterThanOrEqual(2);
      expect(server.peers.size).toBe(1);
    });

    test('comes back with another token from the same address', async () => {
      const server = await carrier.gateway();
      const { client, place } = await carrier.join(server);
      const ended = next(server, 'disconnect');
      client.disconnect();
      await carrier.world.until(ended);
      const again = carrier.guestAt(place, carrier.mint([server]));
      again.start(carrier.nowMs());
      const peer = await carrier.connected(server, { client: again, place });
      await expectTalk(server, { client: again, place, peer });
    });
  });

  describe('connect() at a reference server', () => {
    test.each(families)(
      'goes from 0 over 1 and 2 to 3, and both know what the token says (%s)',
      async (family) => {
        const { server, place } = await carrier.host({ maxClients: 9 }, family);
        const token = await carrier.mintHere([place.address], {
          clientId: 0xffff_ffff_ffff_fff2n,
          userData: utf8('level 7'),
          timeoutMs: 67_000,
        });
        const { attempt, states } = await carrier.call(token, {}, family);
        const connection = await carrier.world.until(attempt);
        expect(states).toEqual([disconnected, sendingRequest, sendingResponse, connected]);
        expect(connection.netcodeState).toBe(connected);
        expect([connection.clientIndex, connection.maxClients]).toEqual([0, 9]);
        expect([connection.wire, connection.address, connection.timeoutMs]).toEqual([
          'netcode',
          place.address,
          67_000,
        ]);
        const [seat] = server.clients;
        expect(seat?.clientId).toBe(0xffff_ffff_ffff_fff2n);
        expect(toHex(seat?.userData ?? nothing)).toBe(toHex(concat(utf8('level 7'), new Uint8Array(249))));
        expect(server.drops).toEqual([]);
      },
    );

    test('asks with REQUEST of 1,078 bytes, answers with RESPONSE number 0, and counts on from there', async () => {
      const host = await carrier.host();
      const { connection } = await carrier.visit(host);
      for (let count = 0; count < 300; ++count) {
        connection.send(message(1));
        if (count % 20 === 0)
          await carrier.until(() => (host.server.clients[0]?.messages.length ?? 0) > count);
      }
      await carrier.until(() => host.server.clients[0]?.messages.length === 300);
      const { heard } = host.place;
      const requests = ofType(packetType.request, heard);
      for (const request of requests) expect(toHex(request)).toBe(toHex(requests[0] ?? nothing));
      expect(requests[0]).toHaveLength(1078);
      expect(ofType(packetType.response, heard)[0]).toHaveLength(326);
      const numbers = heard.slice(requests.length).map(({ datagram }) => sequenceOf(datagram));
      expect(numbers).toEqual(
        numbers.map((_, index) => [netcode.sequenceBytes(BigInt(index)), BigInt(index)]),
      );
    });

    test('messages of every size go both ways', async () => {
      const host = await carrier.host();
      const { connection, seat } = await carrier.visit(host);
      const heard: string[] = [];
      connection.on('message', (data) => heard.push(toHex(data)));
      for (const size of sizes) connection.send(message(size));
      for (const size of sizes) host.server.send(seat, message(size));
      await carrier.until(() => heard.length === sizes.length && seat.messages.length === sizes.length);
      expect(seat.messages).toEqual(sizes.map(message));
      expect(heard).toEqual(sizes.map((size) => toHex(message(size))));
    });

    test('sequence numbers of 1 to 8 bytes are taken, also in more bytes than they need, and 2^64 - 1 too', async () => {
      const host = await carrier.host();
      const { connection, seat } = await carrier.visit(host);
      host.place.attach({ tick: () => undefined, receive: () => undefined });
      const heard: string[] = [];
      connection.on('message', (data) => heard.push(toHex(data)));
      const numbers = [16n, 24n, 32n, 40n, 48n, 56n].flatMap((bits) => [(1n << bits) - 1n, 1n << bits]);
      numbers.push((1n << 64n) - 2n, (1n << 64n) - 1n);
      for (const [index, sequence] of numbers.entries()) {
        const least = netcode.sequenceBytes(sequence);
        const sequenceBytes = least + (index % (9 - least));
        host.server.sendPacket(seat, packetType.payload, u32(index), { sequence, sequenceBytes });
        await carrier.until(() => heard.length > index);
      }
      expect(heard).toEqual(numbers.map((_, index) => toHex(u32(index))));
    });

    test('its close is ten DISCONNECTs, and leads to 0', async () => {
      const host = await carrier.host();
      const { connection, states, seat } = await carrier.visit(host);
      const ended = next(connection, 'disconnect');
      const closed = connection.close();
      expect((await carrier.world.until(ended))[0].result).toBe('closed');
      await carrier.world.until(closed);
      await carrier.until(() => ofType(packetType.disconnect, host.place.heard).length === 10);
      expect(states.slice(-2)).toEqual([connected, disconnected]);
      expect(seat.ended).toBe('disconnected');
    });

    test("the server's DISCONNECT leads to 0", async () => {
      const host = await carrier.host();
      const { connection, states, seat } = await carrier.visit(host);
      const ended = next(connection, 'disconnect');
      host.server.disconnect(seat);
      expect(await carrier.world.until(ended)).toEqual([
        { result: 'disconnected', code: 0, reason: '', reconnectSpreadMs: 0 },
      ]);
      expect(states.slice(-2)).toEqual([connected, disconnected]);
      expect(connection.netcodeState).toBe(disconnected);
    });

    test('denied in 1, it ends in -1', async () => {
      const host = await carrier.host({ maxClients: 0 });
      const { attempt, states } = await carrier.call(await carrier.mintHere([host.place.address]));
      await expect(carrier.world.until(attempt)).rejects.toMatchObject({
        code: 'ERR_HAWSER_DENIED',
        netcodeState: denied,
      });
      expect(states).toEqual([disconnected, sendingRequest, denied]);
    });

    test('denied in 2, it ends in -1', async () => {
      const host = await carrier.host();
      fillOnResponse(host);
      const { attempt, states } = await carrier.call(await carrier.mintHere([host.place.address]));
      await expect(carrier.world.until(attempt)).rejects.toMatchObject({ netcodeState: denied });
      expect(states).toEqual([disconnected, sendingRequest, sendingResponse, denied]);
    });

    // No timeout helps before the token has expired.
    const patient = { timeoutMs: 600_000, lifetimeMs: 60_000 };

    test('denied in 1 by one server, it is connected to the next', async () => {
      const [first, second] = [await carrier.host({ maxClients: 0 }), await carrier.host()];
      const { attempt, states } = await carrier.call(
        await carrier.mintHere([first.place.address, second.place.address], patient),
      );
      const connection = await carrier.world.until(attempt);
      expect(connection.address).toBe(second.place.address);
      expect(states).toEqual([disconnected, sendingRequest, sendingResponse, connected]);
      expect(ofType(packetType.request, first.place.heard).length).toBeGreaterThan(0);
      expect(ofType(packetType.response, first.place.heard)).toEqual([]);
    });

    test('denied in 2 by one server, it is connected to the next, and counts on', async () => {
      const [first, second] = [await carrier.host(), await carrier.host()];
      fillOnResponse(first);
      const { attempt, states } = await carrier.call(
        await carrier.mintHere([first.place.address, second.place.address], patient),
      );
      const connection = await carrier.world.until(attempt);
      expect(connection.address).toBe(second.place.address);
      expect(states).toEqual([disconnected, 1, 2, 1, 2, connected]);
      const responses = [first, second].map(
        ({ place }) => ofType(packetType.response, place.heard)[0] ?? nothing,
      );
      const [before = 0n, after = 0n] = responses.map((datagram) => sequenceOf(datagram)[1]);
      expect(after).toBeGreaterThan(before);
    });

    const minted = 13 + 8;
    const counted = minted + 8 + 8 + 24 + 1024 + 4;
    type Spoil = (token: Uint8Array, address: Endpoint) => Uint8Array;
    const invalid: readonly (readonly [string, Spoil])[] = [
      ['2,047 bytes', (token) => token.subarray(0, 2047)],
      ['2,049 bytes', (token) => concat(token, Uint8Array.of(0))],
      ['created after it expires', (token) => token.with(minted + 7, 1)],
      ['no address', (token) => token.with(counted, 0)],
      ['33 addresses', (token, address) => withAddresses(token, new Array<Endpoint>(33).fill(address))],
      ['2^32 - 1 addresses', (token) => token.fill(0xff, counted, counted + 4)],
      ['an address of type 0', (token) => token.with(counted + 4, 0)],
      ['an address of type 3', (token) => token.with(counted + 4, 3)],
    ];

    function withAddresses(token: Uint8Array, addresses: readonly Endpoint[]): Uint8Array {
      const ip = (host: string): Uint8Array => Uint8Array.from(host.split('.'), Number);
      const parsed = netcode.decodeToken(token);
      return netcode.encodeToken({
        ...parsed,
        addresses: addresses.map(({ host, port }) => ({ ip: ip(host), port })),
      });
    }

    test.each(invalid)('a token with %s is invalid (-5), and nobody is asked', async (_title, spoil) => {
      const { place } = await carrier.host();
      const token = spoil(Uint8Array.from(carrier.mintFor([place.endpoint])), place.endpoint);
      const { attempt, client } = await carrier.call(token);
      await expect(carrier.world.until(attempt)).rejects.toMatchObject({
        code: 'ERR_HAWSER_TOKEN_INVALID',
        netcodeState: invalidToken,
      });
      expect(client.stats.counters.datagramsSent).toBe(0);
    });

    test('a token of another version is none', async () => {
      const { place } = await carrier.host();
      const { attempt, client } = await carrier.call(carrier.mintFor([place.endpoint]).with(11, 0x31));
      await expect(carrier.world.until(attempt)).rejects.toMatchObject({ code: 'ERR_HAWSER_TOKEN_INVALID' });
      expect(client.stats.counters.datagramsSent).toBe(0);
    });

    test('a token for another application is invalid (-5) for whoever says which is meant', async () => {
      const { place } = await carrier.host();
      const token = carrier.mintFor([place.endpoint], { protocolId: protocolId + 1n });
      const { client } = await carrier.call(carrier.mintFor([place.endpoint]));
      const attempt = client.connect(token, { protocolId });
      attempt.catch(() => undefined);
      await expect(carrier.world.until(attempt)).rejects.toMatchObject({ netcodeState: invalidToken });
    });

    test('a token that has expired by its own clock is good for the time between its two timestamps', async () => {
      const { place } = await carrier.host();
      // The server's clock decides: here it is an hour behind.
      const server = await carrier.host();
      const create = BigInt(Math.floor(carrier.nowMs() / 1000)) - 3600n;
      server.place.attach({
        tick: (nowMs) => server.server.tick(nowMs - 3_600_000),
        receive: (datagram, from, nowMs) => server.server.receive(datagram, from, nowMs - 3_600_000),
      });
      expect(place.heard).toEqual([]);
      const { attempt } = await carrier.call(carrier.mintFor([server.place.endpoint], { create }));
      expect((await carrier.world.until(attempt)).netcodeState).toBe(connected);
    });
  });

  describe('the addon with itself', () => {
    test.each(families)('goes from 0 to 3 and back to 0 on both sides (%s)', async (family) => {
      const server = await carrier.gateway({}, family);
      server.on('message', (peer, data) => peer.send(data));
      const { attempt, states } = await carrier.call(
        await carrier.mintHere(server.publicAddresses),
        {},
        family,
      );
      const connection = await carrier.world.until(attempt);
      const heard: string[] = [];
      connection.on('message', (data) => heard.push(toHex(data)));
      for (const size of sizes) connection.send(message(size));
      await carrier.until(() => heard.length === sizes.length);
      expect(heard).toEqual(sizes.map((size) => toHex(message(size))));
      const ended = next(server, 'disconnect');
      const closed = connection.close();
      expect((await carrier.world.until(ended))[1].result).toBe('disconnected');
      await carrier.world.until(closed);
      expect(states).toEqual([disconnected, sendingRequest, sendingResponse, connected, disconnected]);
    });

    test('goes from a full gateway to the next, and not to one that was not needed', async () => {
      const gateways = [
        await carrier.gateway({ maxPeers: 1 }),
        await carrier.gateway(),
        await carrier.gateway(),
      ] as const;
      await carrier.join(gateways[0]);
      const token = await carrier.mintHere(gateways.flatMap(({ publicAddresses }) => publicAddresses));
      const { attempt } = await carrier.call(token);
      expect((await carrier.world.until(attempt)).address).toBe(gateways[1].address);
      expect(gateways[2].stats.counters.datagramsReceived).toBe(0);
    });
  });
});

function serverOf(server: Endpoint | undefined): Endpoint {
  return server ?? expect.fail('no server yet');
}

describe('netcode takes its time', () => {
  let carrier: VirtualCarrier;

  beforeEach(() => {
    carrier = new VirtualCarrier();
  });
  afterEach(() => carrier.close());

  const run = (milliseconds: number): Promise<void> => carrier.world.network.run(milliseconds);

  describe('as a gateway', () => {
    test('it says KEEP_ALIVE after 100 ms in which it said nothing else, and not otherwise', async () => {
      const server = await carrier.gateway();
      const { place, peer } = await carrier.join(server);
      place.heard.length = 0;
      await run(2000);
      const times = place.timesOf(packetType.keepAlive);
      expect(times.length).toBeGreaterThanOrEqual(19);
      expectTenHertz(times);
      place.heard.length = 0;
      for (let count = 0; count < 40; ++count) {
        peer.send(message(1));
        await run(90);
      }
      expect(place.timesOf(packetType.keepAlive)).toEqual([]);
      expect(place.timesOf(packetType.payload)).toHaveLength(40);
    });

    test.each([
      ['KEEP_ALIVE', true],
      ['nothing', false],
    ])(
      'it gives up a client that says %s for the timeout of its token, and then only',
      async (_says, ticks) => {
        const server = await carrier.gateway();
        const { client, peer, place } = await carrier.join(server, { timeout: 5 }, { ticks });
        const lastMs = carrier.nowMs();
        const ended = next(server, 'disconnect');
        if (ticks) {
          await run(60_000);
          expect(server.peers.size).toBe(1);
          place.mute = true;
          await run(4800);
          expect(server.peers.size).toBe(1);
        } else {
          await run(4800);
          expect(server.peers.size).toBe(1);
        }
        expect(await carrier.world.until(ended)).toEqual([
          peer,
          { result: 'timedOut', code: 0, reason: '', reconnectSpreadMs: 0 },
        ]);
        if (!ticks) expect(carrier.nowMs() - lastMs).toBeLessThanOrEqual(5010);
        // Nobody is there to be told, and the slot is free.
        expect(ofType(packetType.disconnect, place.heard)).toEqual([]);
        expect(client.drops).toEqual([]);
        expect((await carrier.join(server)).peer.clientIndex).toBe(0);
      },
    );

    test('PAYLOAD is a sign of life, RESPONSE and what is not authentic are none', async () => {
      const server = await carrier.gateway();
      const talker = await carrier.join(server, { timeout: 2 }, { ticks: false });
      const babbler = await carrier.join(server, { timeout: 2 }, { ticks: false });
      const ended = next(server, 'disconnect');
      for (let count = 0; count < 10; ++count) {
        await run(500);
        talker.client.send(message(1));
        const challenge = babbler.client.challenge ?? expect.fail('no challenge');
        babbler.client.sendPacket(packetType.response, netcode.encodeChallenge(challenge));
        babbler.client.sendPacket(packetType.keepAlive, new Uint8Array(8), { key: netcode.random(32) });
        babbler.client.sendPacket(packetType.keepAlive, new Uint8Array(7));
      }
      expect((await carrier.world.until(ended))[0]).toBe(babbler.peer);
      expect([...server.peers]).toEqual([talker.peer]);
    });

    test.each([0, -1])('a timeout of %d seconds is none', async (timeout) => {
      const server = await carrier.gateway();
      const { client, place } = await carrier.join(server, { timeout });
      place.mute = true;
      await run(600_000);
      expect([...server.peers][0]?.timeoutMs).toBe(0);
      place.mute = false;
      const heard = next(server, 'message');
      client.send(message(1));
      await carrier.world.until(heard);
    });

    test('it forgets after the timeout of the token whom it has challenged', async () => {
      const server = await carrier.gateway();
      const { client, place } = await carrier.guest(carrier.mint([server], { timeout: 5 }), { ticks: false });
      place.listens = () => false;
      client.start(carrier.nowMs());
      await run(4900);
      expect(server.stats.counters.halfOpen).toBe(1);
      await run(200);
      expect(server.stats.counters).toMatchObject({ halfOpen: 0, halfOpenExpired: 1 });
      client.receive(place.heard[0]?.datagram ?? nothing, serverOf(client.server), carrier.nowMs());
      await run(1000);
      expect(server.stats.drops.unknownConnection).toBe(1);
      expect(place.heard).toHaveLength(1);
    });

    test('it is silent to everybody but those that it knows', async () => {
      const server = await carrier.gateway();
      const { place } = await carrier.join(server);
      const others = [await carrier.place(), await carrier.place('IPv6')];
      await run(10_000);
      expect(place.heard.length).toBeGreaterThan(90);
      for (const other of others) expect(other.heard).toEqual([]);
    });
  });

  describe('as a client', () => {
    const hostAndToken = async (options: { timeoutMs?: number; lifetimeMs?: number } = {}) => {
      const host = await carrier.host();
      return { host, token: await carrier.mintHere([host.place.address], options) };
    };

    test('REQUEST is sent at 10 Hz, the same each time, until the timeout: from 1 to -2', async () => {
      const { host, token } = await hostAndToken();
      host.place.listens = () => false;
      const started = carrier.nowMs();
      const { attempt, states } = await carrier.call(token);
      await expect(carrier.world.until(attempt)).rejects.toMatchObject({
        code: 'ERR_HAWSER_TIMED_OUT',
        netcodeState: requestTimedOut,
      });
      expect(states).toEqual([disconnected, sendingRequest, requestTimedOut]);
      expect(carrier.nowMs() - started).toBeGreaterThanOrEqual(5000);
      expect(carrier.nowMs() - started).toBeLessThanOrEqual(5010);
      const times = host.place.timesOf(packetType.request);
      expectTenHertz(times);
      expect(times.length).toBeGreaterThanOrEqual(49);
      for (const { datagram } of host.place.heard) expect(datagram).toEqual(host.place.heard[0]?.datagram);
    });

    test('RESPONSE is sent at 10 Hz, the same but for its number, until the timeout: from 2 to -3', async () => {
      const { host, token } = await hostAndToken();
      ignoreResponses(host);
      const { attempt, states } = await carrier.call(token);
      await expect(carrier.world.until(attempt)).rejects.toMatchObject({
        code: 'ERR_HAWSER_TIMED_OUT',
        netcodeState: responseTimedOut,
      });
      expect(states).toEqual([disconnected, sendingRequest, sendingResponse, responseTimedOut]);
      const { c2s } = netcode.decodeToken(token);
      const responses = ofType(packetType.response, host.place.heard).map((datagram) =>
        netcode.openPacket(c2s, protocolId, datagram, netcode.takenByServer),
      );
      expectTenHertz(host.place.timesOf(packetType.response));
      expect(responses.length).toBeGreaterThanOrEqual(49);
      for (const [index, { body, sequence }] of responses.entries()) {
        expect(sequence).toBe(BigInt(index));
        expect(body).toEqual(responses[0]?.body);
      }
    });

    test('silence for the timeout leads from 3 to -4', async () => {
      const host = await carrier.host();
      const { connection, states } = await carrier.visit(host);
      await run(60_000);
      expect(connection.connected).toBe(true);
      const ended = next(connection, 'disconnect');
      host.place.mute = true;
      await run(4880);
      expect(connection.connected).toBe(true);
      expect(await carrier.world.until(ended)).toEqual([
        { result: 'timedOut', code: 0, reason: '', reconnectSpreadMs: 0 },
      ]);
      expect(states.slice(-2)).toEqual([connected, timedOut]);
      expect(connection.netcodeState).toBe(timedOut);
    });

    test('a token that expires while it waits for CHALLENGE leads from 1 to -6', async () => {
      const { host, token } = await hostAndToken({ lifetimeMs: 2000 });
      host.place.mute = true;
      const started = carrier.nowMs();
      const { attempt, states } = await carrier.call(token);
      await expect(carrier.world.until(attempt)).rejects.toMatchObject({
        code: 'ERR_HAWSER_TOKEN_EXPIRED',
        netcodeState: tokenExpired,
      });
      expect(states).toEqual([disconnected, sendingRequest, tokenExpired]);
      expect(carrier.nowMs() - started).toBeGreaterThanOrEqual(2000);
      expect(carrier.nowMs() - started).toBeLessThanOrEqual(2010);
    });

    test('a token that expires while it waits for KEEP_ALIVE leads from 2 to -6', async () => {
      const { host, token } = await hostAndToken({ lifetimeMs: 2000 });
      ignoreResponses(host);
      const { attempt, states } = await carrier.call(token);
      await expect(carrier.world.until(attempt)).rejects.toMatchObject({ netcodeState: tokenExpired });
      expect(states).toEqual([disconnected, sendingRequest, sendingResponse, tokenExpired]);
    });

    test('all servers together have the lifetime of the token: from 1 to -6', async () => {
      const hosts = [await carrier.host(), await carrier.host(), await carrier.host()];
      for (const { place } of hosts) place.mute = true;
      const token = await carrier.mintHere(
        hosts.map(({ place }) => place.address),
        { timeoutMs: 2000, lifetimeMs: 5000 },
      );
      const { attempt } = await carrier.call(token);
      await expect(carrier.world.until(attempt)).rejects.toMatchObject({ netcodeState: tokenExpired });
      for (const { place } of hosts) expect(place.heard.length).toBeGreaterThanOrEqual(9);
    });

    test('a connection outlives its token', async () => {
      const host = await carrier.host();
      const { connection } = await carrier.visit(host, { lifetimeMs: 2000 });
      await run(10_000);
      expect(connection.connected).toBe(true);
    });

    test.each<readonly [string, (host: Host) => void, readonly number[]]>([
      ['CHALLENGE', ({ place }) => (place.mute = true), [0, 1, 2, 3]],
      ['KEEP_ALIVE', ignoreResponses, [0, 1, 2, 1, 2, 3]],
    ])(
      'without %s in the timeout it goes on to the next server, and is connected',
      async (_missing, spoil, expected) => {
        const [first, second] = [await carrier.host(), await carrier.host()];
        spoil(first);
        const started = carrier.nowMs();
        const token = await carrier.mintHere([first.place.address, second.place.address]);
        const { attempt, states } = await carrier.call(token);
        const connection = await carrier.world.until(attempt);
        expect(connection.address).toBe(second.place.address);
        expect(states).toEqual(expected);
        expect((second.place.heard[0]?.atMs ?? 0) - started).toBeGreaterThanOrEqual(5000);
        expect((second.place.heard[0]?.atMs ?? 0) - started).toBeLessThanOrEqual(5030);
        // The first is not asked any more.
        expect(first.place.heard.at(-1)?.atMs).toBeLessThanOrEqual(second.place.heard[0]?.atMs ?? 0);
      },
    );

    test('when no server is left, the last one decides how it ended', async () => {
      const [silent, full] = [await carrier.host(), await carrier.host({ maxClients: 0 })];
      silent.place.mute = true;
      const addresses = [silent, full].map(({ place }) => place.address);
      const first = await carrier.call(await carrier.mintHere(addresses));
      await expect(carrier.world.until(first.attempt)).rejects.toMatchObject({ netcodeState: denied });
      const second = await carrier.call(await carrier.mintHere(addresses.toReversed()));
      await expect(carrier.world.until(second.attempt)).rejects.toMatchObject({
        netcodeState: requestTimedOut,
      });
    });

    test('it says KEEP_ALIVE after 100 ms in which it said nothing else, and not otherwise', async () => {
      const host = await carrier.host();
      const { connection, seat } = await carrier.visit(host);
      await run(200);
      host.place.heard.length = 0;
      await run(2000);
      const times = host.place.timesOf(packetType.keepAlive);
      expect(times.length).toBeGreaterThanOrEqual(19);
      expectTenHertz(times);
      host.place.heard.length = 0;
      for (let count = 0; count < 40; ++count) {
        connection.send(message(1));
        await run(90);
      }
      expect(host.place.timesOf(packetType.keepAlive)).toEqual([]);
      expect(seat.messages).toHaveLength(40);
      const keepAlive = seat.received.find(({ type }) => type === packetType.keepAlive);
      expect(toHex(keepAlive?.body ?? nothing)).toBe('00'.repeat(8));
    });

    test('a client that is aborted while it waits for its slot tells the server', async () => {
      const { host, token } = await hostAndToken();
      // Its KEEP_ALIVEs are lost.
      host.place.listens = (datagram) => {
        host.place.mute = isResponse(datagram);
        return true;
      };
      const controller = new AbortController();
      const { attempt } = await carrier.call(token, { signal: controller.signal });
      await carrier.until(() => host.server.clients.length === 1);
      controller.abort();
      await expect(carrier.world.until(attempt)).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
      await run(100);
      expect(ofType(packetType.disconnect, host.place.heard)).toHaveLength(10);
      expect(host.server.clients[0]?.ended).toBe('disconnected');
    });

    test('without a timeout in its token it waits until the token expires', async () => {
      const { host, token } = await hostAndToken({ timeoutMs: 0, lifetimeMs: 60_000 });
      host.place.mute = true;
      const { attempt } = await carrier.call(token);
      await run(59_900);
      expect(host.place.heard.length).toBeGreaterThanOrEqual(590);
      await expect(carrier.world.until(attempt)).rejects.toMatchObject({ netcodeState: tokenExpired });
    });
  });
});
