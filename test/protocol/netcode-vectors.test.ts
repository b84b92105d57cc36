// Every example of test/vectors/netcode.json, opened and sealed again byte for byte by the reference implementation.

import { beforeAll, describe, expect, test } from 'vitest';
import { fromHex, Refused, toHex } from '../reference/bytes.js';
import { fromEndpoint } from '../reference/endpoints.js';
import * as netcode from '../reference/netcode.js';
import {
  inputs,
  type NetcodePacketVector,
  type NetcodeTokenVector,
  packetVectors,
  tokenVectors,
  vectorCount,
} from './netcode-vectors.js';

beforeAll(() => netcode.ready);

const protocolId = BigInt(inputs.protocol_id);
const privateKey = fromHex(inputs.private_key);
const challengeKey = fromHex(inputs.challenge_key);
const userData = fromHex(inputs.user_data);
const c2s = fromHex(inputs.client_to_server_key);
const s2c = fromHex(inputs.server_to_client_key);

function optionsOf(vector: NetcodeTokenVector): netcode.TokenOptions {
  return {
    protocolId,
    create: BigInt(vector.create_timestamp),
    expire: BigInt(vector.expire_timestamp),
    nonce: fromHex(inputs.connect_token_nonce),
    clientId: BigInt(vector.client_id),
    timeout: vector.timeout,
    addresses: vector.addresses.map((text) => {
      const colon = text.lastIndexOf(':');
      const host = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
      return fromEndpoint({ host, port: Number(text.slice(colon + 1)) });
    }),
    c2s,
    s2c,
    userData,
  };
}

test('every vector is a token or a packet, and every type of packet has one', () => {
  expect(tokenVectors.length + packetVectors.length).toBe(vectorCount);
  expect(tokenVectors).not.toHaveLength(0);
  const types = new Set(packetVectors.map(({ type }) => type));
  expect([...types].toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(toHex(netcode.version)).toBe(inputs.version_info);
});

describe('tokens', () => {
  test.each(tokenVectors)('$name', (vector) => {
    const options = optionsOf(vector);
    const token = netcode.decodeToken(fromHex(vector.token));
    expect(toHex(netcode.tokenAssociatedData(token))).toBe(vector.associated_data);
    expect(toHex(token.sealed)).toBe(vector.private_encrypted);
    expect(vector.token.slice(2 * vector.private_offset)).toMatch(new RegExp(`^${vector.private_encrypted}`));
    const plaintext = netcode.openPrivate(privateKey, token, token.sealed);
    expect(toHex(plaintext)).toBe(vector.private_plain);
    expect({ ...token, ...netcode.decodePrivate(plaintext) }).toEqual({ ...options, sealed: token.sealed });

    expect(toHex(netcode.encodePrivate(options))).toBe(vector.private_plain);
    expect(toHex(netcode.mintToken(privateKey, options))).toBe(vector.token);
  });
});

/** The body, made from what the vector says in words. */
function bodyOf(vector: NetcodePacketVector): Uint8Array {
  const { challenge, response, keepAlive, payload } = netcode.packetType;
  switch (vector.type) {
    case challenge:
    case response: {
      const sequence = BigInt(vector.token_sequence ?? expect.fail('no token_sequence'));
      const clientId = BigInt(vector.client_id ?? expect.fail('no client_id'));
      const token = netcode.sealChallengeToken(challengeKey, sequence, { clientId, userData });
      return netcode.encodeChallenge({ sequence, token });
    }
    case keepAlive: {
      const { client_index: clientIndex = 0, max_clients: maxClients = 0 } = vector;
      return netcode.encodeKeepAlive({ clientIndex, maxClients });
    }
    case payload:
      expect(vector.payload_pattern).toBe('byte[i]=(i*13+5)&255');
      return Uint8Array.from({ length: vector.plain.length / 2 }, (_, index) => index * 13 + 5);
    default:
      return new Uint8Array(0);
  }
}

describe('requests', () => {
  const requests = packetVectors.filter(({ type }) => type === netcode.packetType.request);
  test.each(requests)('$name', (vector) => {
    const used = tokenVectors.find(({ name }) => name === vector.uses_token);
    const token = netcode.decodeToken(fromHex(used?.token ?? ''));
    const { protocolId: id, expire, nonce, sealed } = token;
    const datagram = fromHex(vector.wire);
    expect(datagram).toHaveLength(vector.size);
    expect(netcode.decodeRequest(datagram)).toEqual({ protocolId: id, expire, nonce, sealed });
    expect(toHex(netcode.encodeRequest(token))).toBe(vector.wire);
    expect(toHex(datagram.slice(1))).toBe(vector.plain);
  });
});

describe('encrypted packets', () => {
  const encrypted = packetVectors.filter(({ type }) => type !== netcode.packetType.request);
  test.each(encrypted)('$name', (vector) => {
    const [key, taken] =
      vector.direction === 'c2s' ? [c2s, netcode.takenByServer] : [s2c, netcode.takenByClient];
    const { type, sequence } = vector;
    const datagram = fromHex(vector.wire);
    expect(datagram).toHaveLength(vector.size);
    const packet = netcode.openPacket(key, protocolId, datagram, taken);
    expect({ ...packet, body: toHex(packet.body) }).toEqual({
      type,
      sequence: BigInt(sequence),
      body: vector.plain,
    });
    const body = bodyOf(vector);
    expect(toHex(body)).toBe(vector.plain);
    expect(toHex(netcode.sealPacket(key, protocolId, type, BigInt(sequence), body))).toBe(vector.wire);
  });

  test.each(encrypted.filter(({ token_sequence }) => token_sequence !== undefined))(
    '$name: the challenge token in it',
    (vector) => {
      const { sequence, token } = netcode.decodeChallenge(fromHex(vector.plain));
      expect(String(sequence)).toBe(vector.token_sequence);
      const { clientId, userData: told } = netcode.openChallengeToken(challengeKey, sequence, token);
      expect([String(clientId), toHex(told)]).toEqual([vector.client_id, inputs.user_data]);
    },
  );

  test.each(encrypted)('$name: no byte of it can be changed', (vector) => {
    const [key, taken] =
      vector.direction === 'c2s' ? [c2s, netcode.takenByServer] : [s2c, netcode.takenByClient];
    const datagram = fromHex(vector.wire);
    for (let index = 0; index < datagram.length; ++index) {
      const changed = datagram.with(index, (datagram[index] ?? 0) ^ 1);
      expect(() => netcode.openPacket(key, protocolId, changed, taken), `byte ${index}`).toThrow(Refused);
    }
  });
});
