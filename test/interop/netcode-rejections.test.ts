// What netcode 1.02 says to ignore, at both ends of the addon, made by the reference implementation: each is counted under the one
// reason of docs/netcode.md, answered with silence, and changes nothing. The same list runs over real sockets and in virtual time.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { DropReason, Server, TransportStats } from '../../src/index.js';
import { type Bytes, concat, Reader, toHex, u32, u64 } from '../reference/bytes.js';
import type { Endpoint } from '../reference/endpoints.js';
import * as netcode from '../reference/netcode.js';
import { clientState, type HandMade } from '../reference/netcode-endpoints.js';
import { next, protocolId, serverKey } from '../transport/support.js';
import {
  addressOf,
  type Carrier,
  carriers,
  type Guest,
  type Host,
  type Joined,
  type Minting,
  ofType,
  type Place,
  typeOf,
  VirtualCarrier,
  type Visit,
} from './netcode-support.js';

beforeAll(() => netcode.ready);

const { packetType } = netcode;
const { payload, keepAlive, disconnect, challenge, response } = packetType;
const nothing = new Uint8Array(0);
const zeros = (length: number): Uint8Array => new Uint8Array(length);

/** An end of the addon whose counters are watched. */
interface Watched {
  readonly stats: TransportStats;
}

type Counts = Partial<Record<DropReason, number>>;

function countsSince(before: TransportStats, { stats }: Watched): Counts {
  const entries = Object.entries(stats.drops).map(([reason, count]) => {
    const earlier = Object.entries(before.drops).find(([name]) => name === reason)?.[1] ?? 0;
    return [reason, count - earlier] as const;
  });
  return Object.fromEntries(entries.filter(([, count]) => count !== 0));
}

function totalOf(counts: Counts): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** With a byte in the middle of what is sealed turned. */
function turned(datagram: Bytes, index: number, bits = 1): Uint8Array {
  return Uint8Array.from(datagram).with(index, (datagram[index] ?? 0) ^ bits);
}

// ---- REQUEST -------------------------------------------------------------------------------------------------------

/** What a REQUEST is made of, proper at first. */
interface Draft {
  minting: Minting;
  addresses: readonly Endpoint[];
  /** Of the authentic private part. */
  plaintext: (plaintext: Uint8Array) => Uint8Array;
  datagram: (datagram: Uint8Array) => Uint8Array;
}

interface Rule {
  readonly broken: string;
  readonly counter: DropReason;
  readonly spoil: (draft: Draft, nowSeconds: bigint) => void;
}

const countOffset = 8 + 4;
const expireOffset = 1 + 13 + 8;

function then(draft: Draft, change: (datagram: Uint8Array) => Uint8Array): void {
  const { datagram } = draft;
  draft.datagram = (bytes) => change(datagram(bytes));
}

/** With an expire time that is a second earlier, if there is such a time. */
function earlier(datagram: Bytes): Uint8Array {
  const expire = new Reader(datagram.slice(expireOffset)).u64();
  const rest = datagram.slice(expireOffset + 8);
  return concat(datagram.slice(0, expireOffset), u64(expire === 0n ? 0n : expire - 1n), rest);
}

const elsewhere: Endpoint = { host: '192.0.2.77', port: 40_000 };

/** The rules of a REQUEST that it breaks by itself, in the standard's order. */
const rules: readonly Rule[] = [
  {
    broken: 'a length of 1,079',
    counter: 'length',
    spoil: (draft) => then(draft, (datagram) => concat(datagram, zeros(1))),
  },
  {
    broken: 'a length of 1,077',
    counter: 'length',
    spoil: (draft) => then(draft, (datagram) => datagram.slice(0, 1077)),
  },
  {
    broken: 'a length of 1',
    counter: 'length',
    spoil: (draft) => then(draft, (datagram) => datagram.slice(0, 1)),
  },
  {
    broken: 'the version 1.01',
    counter: 'version',
    spoil: (draft) => then(draft, (datagram) => datagram.with(12, 0x31)),
  },
  {
    broken: 'a version without its zero',
    counter: 'version',
    spoil: (draft) => then(draft, (datagram) => datagram.with(13, 0x20)),
  },
  {
    broken: 'another protocol id',
    counter: 'protocol',
    spoil: (draft) => (draft.minting = { ...draft.minting, protocolId: protocolId ^ (1n << 63n) }),
  },
  {
    broken: 'an expire time that is now',
    counter: 'tokenExpired',
    spoil: (draft, now) => (draft.minting = { ...draft.minting, create: now - 60n, lifetime: 60n }),
  },
  {
    broken: 'an expire time of 1970',
    counter: 'tokenExpired',
    spoil: (draft) => (draft.minting = { ...draft.minting, create: 0n, lifetime: 0n }),
  },
  {
    broken: 'a lifetime beyond that of tokens',
    counter: 'tokenLifetime',
    spoil: (draft, now) => (draft.minting = { ...draft.minting, create: now, lifetime: 3700n }),
  },
  {
    broken: 'an expire time of 2^64 - 1',
    counter: 'tokenLifetime',
    spoil: (draft) => (draft.minting = { ...draft.minting, create: 0n, lifetime: (1n << 64n) - 1n }),
  },
  {
    broken: 'a private part under another key',
    counter: 'tokenInvalid',
    spoil: (draft) => (draft.minting = { ...draft.minting, key: zeros(32) }),
  },
  {
    broken: 'an expire time that was altered',
    counter: 'tokenInvalid',
    spoil: (draft) => then(draft, earlier),
  },
  {
    broken: 'a nonce that was altered',
    counter: 'tokenInvalid',
    spoil: (draft) => then(draft, (datagram) => turned(datagram, expireOffset + 8)),
  },
  {
    broken: 'a private part that was altered',
    counter: 'tokenInvalid',
    spoil: (draft) => then(draft, (datagram) => turned(datagram, 1077, 0x80)),
  },
  ...[0, 33, 0xffff_ffff].map((count): Rule => {
    const bytes = u32(count);
    const spoil = (draft: Draft): void => {
      draft.plaintext = (plaintext) => {
        plaintext.set(bytes, countOffset);
        return plaintext;
      };
    };
    return { broken: `${count} addresses in its private part`, counter: 'tokenInvalid', spoil };
  }),
  ...[0, 3].map((type): Rule => {
    const spoil = (draft: Draft): void => {
      draft.plaintext = (plaintext) => plaintext.with(countOffset + 4, type);
    };
    return { broken: `an address of type ${type} in its private part`, counter: 'tokenInvalid', spoil };
  }),
  {
    broken: 'the address of another server',
    counter: 'wrongAddress',
    spoil: (draft) => (draft.addresses = [elsewhere]),
  },
  {
    broken: 'another port of this server',
    counter: 'wrongAddress',
    spoil: (draft) => (draft.addresses = draft.addresses.map(({ host, port }) => ({ host, port: port ^ 1 }))),
  },
];

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

  /** `act` has one datagram dropped for that reason and for no other, and nothing is said to `place` but KEEP_ALIVEs. */
  async function expectDropped(
    server: Server,
    place: Place,
    reason: DropReason,
    act: () => void,
    datagrams = 1,
  ): Promise<void> {
    const before = server.stats;
    const heard = place.heard.length;
    act();
    await carrier.until(() => totalOf(countsSince(before, server)) >= datagrams);
    expect(countsSince(before, server)).toEqual({ [reason]: datagrams });
    await carrier.settle(server);
    const answers = place.heard.slice(heard).filter(({ datagram }) => typeOf(datagram) !== keepAlive);
    expect(answers).toEqual([]);
    expect(server.stats.counters.deniedSent).toBe(before.counters.deniedSent);
    expect(server.stats.counters.challengesSent).toBe(before.counters.challengesSent);
  }

  function endpointOf(server: Server): Endpoint {
    const [host = '', port] = server.address.split(':');
    return { host, port: Number(port) };
  }

  /** A REQUEST that breaks these rules and no others. */
  function requestThatBreaks(server: Server, broken: readonly Rule[]): Bytes {
    const draft: Draft = {
      minting: {},
      addresses: [endpointOf(server)],
      plaintext: (plaintext) => plaintext,
      datagram: (datagram) => datagram,
    };
    const nowSeconds = BigInt(Math.floor(carrier.nowMs() / 1000));
    for (const rule of broken.toReversed()) rule.spoil(draft, nowSeconds);
    const { key = serverKey.key } = draft.minting;
    const token = netcode.decodeToken(carrier.mintFor(draft.addresses, draft.minting));
    const plaintext = draft.plaintext(netcode.openPrivate(key, token, token.sealed));
    const sealed = netcode.sealPrivate(key, token, plaintext);
    return draft.datagram(netcode.encodeRequest({ ...token, sealed }));
  }

  /** A guest that has asked, and was challenged; it hears nothing by itself. */
  async function challenged(server: Server, minting: Minting = {}): Promise<Guest> {
    const guest = await carrier.guest(carrier.mint([server], minting), { ticks: false });
    guest.place.listens = () => false;
    guest.client.start(carrier.nowMs());
    await carrier.until(() => ofType(challenge, guest.place.heard).length === 1);
    return guest;
  }

  /** What the server has challenged it with. */
  function challengeOf({ client, place }: Guest): netcode.ChallengeBody {
    const { protocolId: id, s2c } = client.token;
    const datagram = ofType(challenge, place.heard)[0] ?? expect.fail('no CHALLENGE');
    return netcode.decodeChallenge(netcode.openPacket(s2c, id, datagram, netcode.takenByClient).body);
  }

  /** Goes on as it should have. */
  async function expectConnects(server: Server, guest: Guest): Promise<Joined> {
    const datagram = ofType(challenge, guest.place.heard)[0] ?? expect.fail('no CHALLENGE');
    guest.place.listens = () => true;
    guest.client.receive(datagram, endpointOf(server), carrier.nowMs());
    return { ...guest, peer: await carrier.connected(server, guest) };
  }

  let said = 0;

  /** The session is as it was: what is said now arrives, and nothing else has. */
  async function expectTalk(server: Server, { client, peer }: Joined): Promise<void> {
    const [up, down] = [u32(++said), u32(++said)];
    const heard: string[] = [];
    const listen = (from: unknown, data: Uint8Array): void => {
      if (from === peer) heard.push(toHex(data));
    };
    server.on('message', listen);
    client.send(up);
    await carrier.until(() => heard.length > 0);
    server.off('message', listen);
    expect(heard).toEqual([toHex(up)]);
    peer.send(down);
    await carrier.until(() => client.messages.some((each) => toHex(each) === toHex(down)));
    expect(peer.connected).toBe(true);
  }

  describe('a gateway ignores a REQUEST', () => {
    test.each(rules.map((rule) => [rule.broken, rule.counter, rule] as const))(
      'with %s (%s)',
      async (_broken, _counter, rule) => {
        const server = await carrier.gateway();
        const place = await carrier.place();
        const request = requestThatBreaks(server, [rule]);
        await expectDropped(server, place, rule.counter, () => place.send(request, endpointOf(server)));
        expect(server.stats.counters).toMatchObject({ challengesSent: 0, halfOpen: 0 });
        await carrier.join(server);
      },
    );

    test('for the first rule that it breaks, whatever others it breaks too', async () => {
      const server = await carrier.gateway();
      const place = await carrier.place();
      for (const [index, rule] of rules.entries()) {
        const request = requestThatBreaks(server, rules.slice(index));
        const before = server.stats;
        place.send(request, endpointOf(server));
        await carrier.until(() => totalOf(countsSince(before, server)) > 0);
        expect(countsSince(before, server), rule.broken).toEqual({ [rule.counter]: 1 });
      }
      await carrier.settle(server);
      expect(place.heard).toEqual([]);
    });

    test('that may be from before the start (tokenPredates)', async () => {
      const server = await carrier.gateway({ freshKeys: false, netcode: { tokenLifetimeMs: 60_000 } });
      const { client, place } = await carrier.guest(carrier.mint([server]), { ticks: false });
      await expectDropped(server, place, 'tokenPredates', () => client.start(carrier.nowMs()));
    });

    test('from the address of a client that is connected (addressConnected)', async () => {
      // Full, and the token was used too: this is the first of the reasons.
      const server = await carrier.gateway({ maxPeers: 1 });
      const joined = await carrier.join(server);
      const { place, client } = joined;
      const again = netcode.encodeRequest(client.token);
      await expectDropped(server, place, 'addressConnected', () => place.send(again, endpointOf(server)));
      const other = netcode.encodeRequest(netcode.decodeToken(carrier.mint([server])));
      await expectDropped(server, place, 'addressConnected', () => place.send(other, endpointOf(server)));
      await expectTalk(server, joined);
    });

    test('of a client id that is connected (clientIdConnected)', async () => {
      const server = await carrier.gateway({ maxPeers: 1 });
      const joined = await carrier.join(server, { clientId: 5n });
      const place = await carrier.place();
      const again = netcode.encodeRequest(joined.client.token);
      await expectDropped(server, place, 'clientIdConnected', () => place.send(again, endpointOf(server)));
      const other = netcode.encodeRequest(netcode.decodeToken(carrier.mint([server], { clientId: 5n })));
      await expectDropped(server, place, 'clientIdConnected', () => place.send(other, endpointOf(server)));
      await expectTalk(server, joined);
    });

    test('whose token another address has used (tokenUsed)', async () => {
      const server = await carrier.gateway();
      const guest = await challenged(server);
      const place = await carrier.place();
      const stolen = netcode.encodeRequest(guest.client.token);
      await expectDropped(server, place, 'tokenUsed', () => place.send(stolen, endpointOf(server)));
      await expectTalk(server, await expectConnects(server, guest));
    });

    test('whose token another address has used, also when it is full (tokenUsed)', async () => {
      const server = await carrier.gateway({ maxPeers: 1 });
      await carrier.join(server);
      const { client, place: first } = await carrier.guest(carrier.mint([server]), { ticks: false });
      client.start(carrier.nowMs());
      await carrier.until(() => first.heard.length === 1);
      expect(client.state).toBe(clientState.denied);
      const place = await carrier.place();
      const stolen = netcode.encodeRequest(client.token);
      await expectDropped(server, place, 'tokenUsed', () => place.send(stolen, endpointOf(server)));
    });

    test('whose token has connected somebody, the same client included (tokenUsed)', async () => {
      const server = await carrier.gateway();
      const { client, place } = await carrier.join(server);
      const ended = next(server, 'disconnect');
      client.disconnect();
      await carrier.world.until(ended);
      const again = netcode.encodeRequest(client.token);
      await expectDropped(server, place, 'tokenUsed', () => place.send(again, endpointOf(server)));
    });

    test('for which there is no room among the handshakes (halfOpenFull)', async () => {
      const server = await carrier.gateway({ maxHalfOpen: 1 });
      const guest = await challenged(server);
      const { client, place } = await carrier.guest(carrier.mint([server]), { ticks: false });
      await expectDropped(server, place, 'halfOpenFull', () => client.start(carrier.nowMs()));
      await expectConnects(server, guest);
    });

    test('of a client that has eight handshakes already (halfOpenFull)', async () => {
      const server = await carrier.gateway();
      for (let count = 0; count < 8; ++count) await challenged(server, { clientId: 5n });
      const { client, place } = await carrier.guest(carrier.mint([server], { clientId: 5n }), {
        ticks: false,
      });
      await expectDropped(server, place, 'halfOpenFull', () => client.start(carrier.nowMs()));
      await carrier.join(server, { clientId: 6n });
    });
  });

  describe('a gateway ignores a RESPONSE', () => {
    /** What is sent, from the guest's place unless it says another. */
    type Answer = (guest: Guest, server: Server) => Promise<Bytes> | Bytes;

    function sealed({ client }: Guest, body: Bytes, handMade: HandMade = {}): Bytes {
      return client.makePacket(response, body, handMade);
    }

    const answers: readonly (readonly [string, DropReason, Answer])[] = [
      ['with a body of 307 bytes', 'length', (guest) => sealed(guest, bodyOf(guest).subarray(0, 307))],
      ['with a body of 309 bytes', 'length', (guest) => sealed(guest, concat(bodyOf(guest), zeros(1)))],
      ['that was altered', 'authentication', (guest) => turned(sealed(guest, bodyOf(guest)), 200)],
      [
        'under another key',
        'authentication',
        (guest) => sealed(guest, bodyOf(guest), { key: netcode.random(32) }),
      ],
      [
        'under the key of the other direction',
        'authentication',
        (guest) => sealed(guest, bodyOf(guest), { key: guest.client.token.s2c }),
      ],
      [
        'for another protocol id',
        'authentication',
        (guest) => sealed(guest, bodyOf(guest), { protocolId: protocolId + 1n }),
      ],
      [
        'with a challenge that was altered',
        'responseInvalid',
        (guest) => sealed(guest, turned(bodyOf(guest), 307)),
      ],
      [
        'with another number of the challenge',
        'responseInvalid',
        (guest) => sealed(guest, turned(bodyOf(guest), 0)),
      ],
      [
        "with another client's challenge",
        'responseInvalid',
        async (guest, server) => sealed(guest, bodyOf(await challenged(server))),
      ],
      [
        'with a challenge of its own making',
        'responseInvalid',
        (guest) => {
          const { sequence } = challengeOf(guest);
          const token = netcode.sealChallengeToken(netcode.random(32), sequence, {
            clientId: 1n,
            userData: zeros(256),
          });
          return sealed(guest, netcode.encodeChallenge({ sequence, token }));
        },
      ],
      ['that is a KEEP_ALIVE', 'unexpected', ({ client }) => client.makePacket(keepAlive, zeros(8))],
      ['that is a PAYLOAD', 'unexpected', ({ client }) => client.makePacket(payload, zeros(1))],
      ['that is a DISCONNECT', 'unexpected', ({ client }) => client.makePacket(disconnect, nothing)],
    ];

    function bodyOf(guest: Guest): Uint8Array {
      return netcode.encodeChallenge(challengeOf(guest));
    }

    test.each(answers)('%s (%s)', async (_what, reason, make) => {
      const server = await carrier.gateway();
      const guest = await challenged(server);
      const datagram = await make(guest, server);
      await expectDropped(server, guest.place, reason, () => guest.client.sendRaw(datagram));
      expect(server.peers.size).toBe(0);
      await expectTalk(server, await expectConnects(server, guest));
    });

    test('from an address that has not asked (unknownConnection)', async () => {
      const server = await carrier.gateway();
      const guest = await challenged(server);
      const place = await carrier.place();
      const datagram = sealed(guest, bodyOf(guest));
      await expectDropped(server, place, 'unknownConnection', () => place.send(datagram, endpointOf(server)));
      await expectTalk(server, await expectConnects(server, guest));
    });

    test('of a client that is connected already (addressConnected)', async () => {
      const server = await carrier.gateway();
      const guest = await challenged(server);
      const joined = await expectConnects(server, guest);
      const datagram = sealed(guest, bodyOf(guest));
      await expectDropped(server, guest.place, 'addressConnected', () => guest.client.sendRaw(datagram));
      await expectTalk(server, joined);
    });

    test('of a client id that was connected meanwhile (clientIdConnected)', async () => {
      const server = await carrier.gateway();
      const [first, second] = [
        await challenged(server, { clientId: 5n }),
        await challenged(server, { clientId: 5n }),
      ];
      const joined = await expectConnects(server, first);
      const datagram = sealed(second, bodyOf(second));
      await expectDropped(server, second.place, 'clientIdConnected', () => second.client.sendRaw(datagram));
      await expectTalk(server, joined);
    });
  });

  /** Seals under the keys of a session, with a number that it has not used. */
  type Seal = (type: number, body: Bytes, handMade?: HandMade) => Bytes;

  interface Strange {
    readonly packet: string;
    readonly counter: DropReason;
    readonly make: (seal: Seal) => readonly Bytes[];
  }

  const rowsOf = (list: readonly Strange[]): (readonly [string, DropReason, Strange['make']])[] =>
    list.map(({ packet, counter, make }) => [packet, counter, make]);
  const range = (first: number, last: number): number[] =>
    Array.from({ length: last - first + 1 }, (_, index) => first + index);
  const far = 0x0103_0305_0709n;

  /** What both ends ignore, in the order of section "Reading Encrypted Packets"; what is not authentic has numbers far ahead. */
  const strange: readonly Strange[] = [
    {
      packet: '17 bytes',
      counter: 'length',
      make: (seal) => [payload, keepAlive, disconnect].map((type) => seal(type, nothing).subarray(0, 17)),
    },
    {
      packet: 'a type from 7 to 15',
      counter: 'unknownType',
      make: (seal) => range(7, 15).map((type) => seal(type, zeros(8))),
    },
    {
      packet: 'no byte of sequence number',
      counter: 'unknownType',
      make: (seal) =>
        [payload, keepAlive, disconnect].map((type) => seal(type, zeros(8), { sequenceBytes: 0 })),
    },
    {
      packet: '9 or more bytes of sequence number',
      counter: 'unknownType',
      make: (seal) => [9, 12, 13, 14, 15].map((sequenceBytes) => seal(payload, zeros(8), { sequenceBytes })),
    },
    {
      packet: 'no room for number and tag',
      counter: 'length',
      make: (seal) =>
        range(18, 24).map((length) =>
          seal(payload, zeros(8), { sequence: far, sequenceBytes: 8 }).subarray(0, length),
        ),
    },
    {
      packet: 'any byte changed behind the first',
      counter: 'authentication',
      make: (seal) => {
        const datagram = seal(payload, zeros(8), { sequence: far });
        return range(1, datagram.length - 1).map((index) => turned(datagram, index));
      },
    },
    {
      packet: 'another type than it was sealed with',
      counter: 'authentication',
      make: (seal) => [
        seal(payload, nothing, { sequence: far, prefix: 0x66, sealedPrefix: 0x65 }),
        seal(payload, zeros(8), { sequence: far, prefix: 0x64, sealedPrefix: 0x65 }),
      ],
    },
    {
      packet: 'another key',
      counter: 'authentication',
      make: (seal) =>
        [payload, keepAlive, disconnect].map((type) => {
          const body = type === disconnect ? nothing : zeros(8);
          return seal(type, body, { sequence: far, key: netcode.random(32) });
        }),
    },
    {
      packet: 'another protocol id',
      counter: 'authentication',
      make: (seal) => [seal(disconnect, nothing, { sequence: far, protocolId: protocolId + 1n })],
    },
    {
      packet: 'a KEEP_ALIVE of 0, 7 or 9 bytes',
      counter: 'length',
      make: (seal) => [0, 7, 9].map((length) => seal(keepAlive, zeros(length))),
    },
    {
      packet: 'a PAYLOAD of 0 or 1,201 bytes',
      counter: 'length',
      make: (seal) => [0, 1201].map((length) => seal(payload, zeros(length))),
    },
    {
      packet: 'a DISCONNECT of 1 byte',
      counter: 'length',
      make: (seal) => [seal(disconnect, zeros(1))],
    },
  ];

  describe('a gateway ignores, and goes on with the session', () => {
    function sealFor({ client }: Joined): Seal {
      let sequence = 500n;
      return (type, body, handMade = {}) =>
        client.makePacket(type, body, { sequence: ++sequence, ...handMade });
    }

    const forServers: readonly Strange[] = [
      ...strange,
      {
        packet: 'a DENIED or a CHALLENGE',
        counter: 'reflected',
        make: (seal) => [seal(packetType.denied, nothing), seal(challenge, zeros(308))],
      },
      {
        packet: 'an encrypted REQUEST',
        counter: 'unknownType',
        make: (seal) => [seal(packetType.request, zeros(8))],
      },
      {
        packet: '10 or 11 bytes of sequence number',
        counter: 'unknownType',
        make: (seal) => [10, 11].map((sequenceBytes) => seal(payload, zeros(8), { sequenceBytes })),
      },
    ];

    test.each(rowsOf(forServers))('%s (%s)', async (_packet, counter, make) => {
      // With both formats, 10 and 11 bytes of sequence number look like HAWSER.
      const server = await carrier.gateway({ wires: ['netcode'] });
      const joined = await carrier.join(server);
      const datagrams = make(sealFor(joined));
      const send = (): void => {
        for (const datagram of datagrams) joined.place.send(datagram, endpointOf(server));
      };
      await expectDropped(server, joined.place, counter, send, datagrams.length);
      await expectTalk(server, joined);
    });

    test('what it has received before (replayed)', async () => {
      const server = await carrier.gateway();
      const joined = await carrier.join(server);
      await expectTalk(server, joined);
      const { place, client } = joined;
      client.sendPacket(keepAlive, zeros(8));
      const heard = next(server, 'message');
      client.sendPacket(payload, zeros(16), { sequence: 700n });
      await carrier.world.until(heard);
      const taken = place.sent.filter((datagram) => netcode.isReplayProtected(typeOf(datagram)));
      const send = (): void => {
        for (const datagram of taken) place.send(datagram, endpointOf(server));
      };
      await expectDropped(server, place, 'replayed', send, taken.length);
      await expectTalk(server, joined);
    });

    test('what is older than the newest by 1,024 (tooOld), and takes what is not', async () => {
      const server = await carrier.gateway();
      const joined = await carrier.join(server, {}, { ticks: false });
      const { place, client } = joined;
      const heard: string[] = [];
      server.on('message', (_, data) => heard.push(toHex(data)));
      client.sendPacket(payload, u32(1), { sequence: 5000n });
      client.sendPacket(payload, u32(2), { sequence: 5000n - 1023n });
      await carrier.until(() => heard.length === 2);
      const old = client.makePacket(payload, u32(3), { sequence: 5000n - 1024n });
      await expectDropped(server, place, 'tooOld', () => place.send(old, endpointOf(server)));
      expect(heard).toEqual([toHex(u32(1)), toHex(u32(2))]);
      client.sequence = 5001n;
      await expectTalk(server, joined);
    });

    test('what comes from another address (unknownConnection)', async () => {
      const server = await carrier.gateway();
      const joined = await carrier.join(server);
      const place = await carrier.place();
      const seal = sealFor(joined);
      const send = (): void => {
        for (const [type, body] of [
          [payload, zeros(5)],
          [keepAlive, zeros(8)],
          [disconnect, nothing],
        ] as const)
          place.send(seal(type, body), endpointOf(server));
      };
      await expectDropped(server, place, 'unknownConnection', send, 3);
      expect(place.heard).toEqual([]);
      await expectTalk(server, joined);
    });

    test('the DISCONNECT of the session before, from the same address (authentication)', async () => {
      const server = await carrier.gateway();
      const first = await carrier.join(server, {}, { ticks: false });
      const farewell = first.client.makePacket(disconnect, nothing, { sequence: 900n });
      const ended = next(server, 'disconnect');
      first.client.disconnect();
      await carrier.world.until(ended);
      await carrier.settle(server);
      const { place } = first;
      const client = carrier.guestAt(place, carrier.mint([server]), { ticks: false });
      client.start(carrier.nowMs());
      const peer = await carrier.connected(server, { client, place });
      await expectDropped(server, place, 'authentication', () => place.send(farewell, endpointOf(server)));
      await expectTalk(server, { client, place, peer });
    });
  });

  describe('a client ignores', () => {
    /** As many datagrams are dropped as were sent, all for that reason. */
    async function expectClientDropped(
      end: Watched,
      reason: DropReason,
      send: () => void,
      datagrams: number,
    ): Promise<void> {
      const before = end.stats;
      send();
      await carrier.until(() => totalOf(countsSince(before, end)) >= datagrams);
      expect(countsSince(before, end)).toEqual({ [reason]: datagrams });
    }

    /** Where the addon's client is, as the host sees it. */
    const callerAt = ({ place }: Host): Endpoint => place.from ?? expect.fail('nobody has come');

    async function expectTalkWith(host: Host, { connection, seat }: Visit): Promise<void> {
      const [up, down] = [u32(++said), u32(++said)];
      const heard: string[] = [];
      const listen = (data: Uint8Array): void => {
        heard.push(toHex(data));
      };
      connection.on('message', listen);
      host.server.send(seat, down);
      await carrier.until(() => heard.length > 0);
      connection.off('message', listen);
      expect(heard).toEqual([toHex(down)]);
      const before = seat.messages.length;
      connection.send(up);
      await carrier.until(() => seat.messages.length > before);
      expect(seat.messages.slice(before)).toEqual([up]);
      expect(connection.netcodeState).toBe(clientState.connected);
    }

    /** Seals for the client under the keys of its token. */
    function sealFrom(token: Bytes, first = 500n): Seal {
      const { s2c } = netcode.decodeToken(token);
      let last = first;
      return (type, body, { sequence = ++last, key = s2c, protocolId: id = protocolId, ...rest } = {}) =>
        netcode.sealPacket(key, id, type, sequence, body, rest);
    }

    async function visit(): Promise<{ host: Host; visitor: Visit; seal: Seal }> {
      const host = await carrier.host();
      const token = await carrier.mintHere([host.place.address]);
      const call = await carrier.call(token);
      const connection = await carrier.world.until(call.attempt);
      const seat = host.server.clients[0] ?? expect.fail('nobody came');
      return { host, visitor: { ...call, connection, seat }, seal: sealFrom(token) };
    }

    const forClients: readonly Strange[] = [
      ...strange,
      {
        packet: 'a RESPONSE or a REQUEST',
        counter: 'reflected',
        make: (seal) => [seal(response, zeros(308)), zeros(1078)],
      },
      {
        packet: 'an encrypted REQUEST',
        counter: 'unknownType',
        make: (seal) => [seal(packetType.request, zeros(8))],
      },
      {
        packet: 'an authentic DENIED or CHALLENGE while connected',
        counter: 'unexpected',
        make: (seal) => [seal(packetType.denied, nothing), seal(challenge, zeros(308))],
      },
      {
        packet: 'an authentic DENIED of 1 byte, a CHALLENGE of 307',
        counter: 'length',
        make: (seal) => [seal(packetType.denied, zeros(1)), seal(challenge, zeros(307))],
      },
    ];

    test.each(rowsOf(forClients))('%s (%s)', async (_packet, counter, make) => {
      const { host, visitor, seal } = await visit();
      const datagrams = make(seal);
      const send = (): void => {
        for (const datagram of datagrams) host.place.send(datagram, callerAt(host));
      };
      await expectClientDropped(visitor.client, counter, send, datagrams.length);
      await expectTalkWith(host, visitor);
    });

    test('what it has received before (replayed)', async () => {
      const { host, visitor } = await visit();
      await expectTalkWith(host, visitor);
      await expectTalkWith(host, visitor);
      const taken = host.place.sent.filter((datagram) => netcode.isReplayProtected(typeOf(datagram)));
      const send = (): void => {
        for (const datagram of taken) host.place.send(datagram, callerAt(host));
      };
      await expectClientDropped(visitor.client, 'replayed', send, taken.length);
      await expectTalkWith(host, visitor);
    });

    test('what is older than the newest by 1,024 (tooOld), and takes what is not', async () => {
      const { host, visitor } = await visit();
      const { connection, client, seat } = visitor;
      const heard: string[] = [];
      connection.on('message', (data) => heard.push(toHex(data)));
      seat.sequence = 5001n;
      host.server.sendPacket(seat, payload, u32(1), { sequence: 5000n });
      host.server.sendPacket(seat, payload, u32(2), { sequence: 6000n - 1999n });
      await carrier.until(() => heard.length === 2);
      await expectClientDropped(
        client,
        'tooOld',
        () => host.server.sendPacket(seat, payload, u32(3), { sequence: 3900n }),
        1,
      );
      expect(heard).toEqual([toHex(u32(1)), toHex(u32(2))]);
      await expectTalkWith(host, visitor);
    });

    test('what comes from another address (unexpected)', async () => {
      const { host, visitor, seal } = await visit();
      const other = await carrier.place();
      const send = (): void => {
        other.send(seal(payload, zeros(1)), callerAt(host));
        other.send(seal(disconnect, nothing), callerAt(host));
      };
      await expectClientDropped(visitor.client, 'unexpected', send, 2);
      await expectTalkWith(host, visitor);
    });

    test('all but CHALLENGE and DENIED in 1, and all but KEEP_ALIVE and DENIED in 2 (unexpected)', async () => {
      const host = await carrier.host();
      host.place.listens = () => false;
      const token = await carrier.mintHere([host.place.address], { timeoutMs: 60_000 });
      const { client, attempt, states } = await carrier.call(token);
      const seal = sealFrom(token, 100n);
      const others = (): Bytes[] => [seal(payload, zeros(3)), seal(disconnect, nothing)];
      const sendAll = (datagrams: readonly Bytes[]): void => {
        for (const datagram of datagrams) host.place.send(datagram, callerAt(host));
      };
      await carrier.until(() => host.place.heard.length > 0);
      const early = [...others(), seal(keepAlive, concat(u32(3), u32(4)))];
      await expectClientDropped(client, 'unexpected', () => sendAll(early), 3);
      expect(states.at(-1)).toBe(clientState.sendingRequest);

      const body = netcode.encodeChallenge({ sequence: 7n, token: netcode.random(300) });
      sendAll([seal(challenge, body)]);
      await carrier.until(() => ofType(response, host.place.heard).length > 0);
      const late = [...others(), seal(challenge, netcode.random(308))];
      await expectClientDropped(client, 'unexpected', () => sendAll(late), 3);
      expect(states.at(-1)).toBe(clientState.sendingResponse);
      const count = host.place.heard.length;
      await carrier.until(() => host.place.heard.length > count);
      const { c2s } = netcode.decodeToken(token);
      const repeated = host.place.heard.at(-1)?.datagram ?? nothing;
      const opened = netcode.openPacket(c2s, protocolId, repeated, netcode.takenByServer);
      expect(toHex(opened.body)).toBe(toHex(body));

      sendAll([seal(keepAlive, concat(u32(3), u32(4)))]);
      const connection = await carrier.world.until(attempt);
      expect([connection.clientIndex, connection.maxClients]).toEqual([3, 4]);
    });

    test('in 1 and 2 what others say in the name of the server (authentication)', async () => {
      const host = await carrier.host();
      host.place.listens = () => false;
      const token = await carrier.mintHere([host.place.address], { timeoutMs: 60_000 });
      const { client, attempt, states } = await carrier.call(token);
      const key = netcode.random(32);
      const forged = sealFrom(token, far);
      const authentic = sealFrom(token, 100n);
      const sendForged = (): void => {
        const packets: readonly (readonly [number, number])[] = [
          [packetType.denied, 0],
          [challenge, 308],
          [keepAlive, 8],
          [payload, 8],
          [disconnect, 0],
        ];
        for (const [type, size] of packets)
          host.place.send(forged(type, zeros(size), { key }), callerAt(host));
      };
      await carrier.until(() => host.place.heard.length > 0);
      await expectClientDropped(client, 'authentication', sendForged, 5);
      const body = concat(u64(1n), netcode.random(300));
      host.place.send(authentic(challenge, body), callerAt(host));
      await carrier.until(() => ofType(response, host.place.heard).length > 0);
      await expectClientDropped(client, 'authentication', sendForged, 5);
      expect(states).toEqual([0, 1, 2]);
      host.place.send(authentic(keepAlive, zeros(8)), callerAt(host));
      await carrier.world.until(attempt);
    });
  });
});

describe('netcode takes its time', () => {
  let carrier: VirtualCarrier;

  beforeEach(() => {
    carrier = new VirtualCarrier();
  });
  afterEach(() => carrier.close());

  test('with REQUESTs that come faster than their budget allows (handshakeBudget)', async () => {
    const server = await carrier.gateway();
    const joined = await carrier.join(server);
    const { network } = carrier.world;
    const request = netcode.encodeRequest(netcode.decodeToken(carrier.mint([server])));
    for (let count = 0; count < 600; ++count)
      network.inject(addressOf({ host: '10.98.0.1', port: 1000 + count }), server.address, request);
    // One is challenged, the others that found a place are judged, the rest is lost.
    await carrier.until(() => server.stats.drops.handshakeBudget + server.stats.drops.tokenUsed === 599);
    expect(server.stats.drops.handshakeBudget).toBe(600 - 512);
    expect(server.stats.counters.challengesSent).toBe(2);
    const heard = next(server, 'message');
    joined.client.send(u32(1));
    await carrier.world.until(heard);
    await carrier.join(server);
  });

  test('with a token of before the start, until it could not be one (tokenPredates)', async () => {
    const server = await carrier.gateway({
      clockSkewMs: 2000,
      freshKeys: false,
      netcode: { tokenLifetimeMs: 10_000 },
    });
    const early = await carrier.guest(carrier.mint([server], { lifetime: 10n, timeout: 2 }));
    early.client.start(carrier.nowMs());
    await carrier.until(() => early.client.ended);
    expect(early.client.state).toBe(clientState.requestTimedOut);
    expect(server.stats.drops.tokenPredates).toBeGreaterThanOrEqual(19);
    await carrier.world.network.run(1000);
    await carrier.join(server, { lifetime: 10n });
  });

  test('with a token that expires between two REQUESTs (tokenExpired)', async () => {
    const server = await carrier.gateway();
    const { client, place } = await carrier.guest(carrier.mint([server], { lifetime: 2n }), { ticks: false });
    place.listens = () => false;
    client.start(carrier.nowMs());
    await carrier.world.network.run(1000);
    expect(ofType(challenge, place.heard)).toHaveLength(1);
    await carrier.world.network.run(1100);
    client.sendRaw(netcode.encodeRequest(client.token));
    await carrier.world.network.run(1000);
    expect(ofType(challenge, place.heard)).toHaveLength(1);
    expect(server.stats.drops.tokenExpired).toBe(1);
  });
});
