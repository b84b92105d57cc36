// The examples of test/vectors/netcode.json as datagrams: the addon takes them off the wire, and what it says under the same keys
// and numbers is the same bytes. In virtual time, because their token is of November 2023.

import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Server } from '../../src/index.js';
import {
  inputs,
  type NetcodePacketVector,
  packetVectors,
  tokenVectors,
} from '../protocol/netcode-vectors.js';
import { fromHex, toHex } from '../reference/bytes.js';
import * as netcode from '../reference/netcode.js';
import { next, protocolId } from '../transport/support.js';
import { ofType, type Place, VirtualCarrier } from './netcode-support.js';

beforeAll(() => netcode.ready);

const { packetType } = netcode;
const c2s = fromHex(inputs.client_to_server_key);
const s2c = fromHex(inputs.server_to_client_key);
const userData = fromHex(inputs.user_data);
const tokenVector = tokenVectors[0] ?? expect.fail('no token');
const token = fromHex(tokenVector.token);
const clientId = BigInt(tokenVector.client_id);
const server = { host: '127.0.0.1', port: 40_000 };

function vector(name: string): NetcodePacketVector {
  return packetVectors.find((each) => each.name === name) ?? expect.fail(`no vector ${name}`);
}

const wire = (name: string): Uint8Array => fromHex(vector(name).wire);

let carrier: VirtualCarrier;

beforeEach(() => {
  carrier = new VirtualCarrier();
});
afterEach(() => carrier.close());

test('they are for the address, the protocol id and the time of this file', () => {
  expect(tokenVector.addresses).toEqual(['127.0.0.1:40000']);
  expect(BigInt(inputs.protocol_id)).toBe(protocolId);
  expect(Number(tokenVector.expire_timestamp) * 1000).toBeGreaterThan(carrier.nowMs());
});

describe('the shared vectors at a gateway', () => {
  interface Asked {
    readonly gateway: Server;
    readonly place: Place;
    readonly send: (datagram: Uint8Array) => void;
  }

  async function asked(): Promise<Asked> {
    const gateway = await carrier.gateway({
      keys: [{ id: 1, key: fromHex(inputs.private_key) }],
      publicAddresses: [server],
    });
    const place = await carrier.place();
    const [host = '', port] = gateway.address.split(':');
    const send = (datagram: Uint8Array): void => place.send(datagram, { host, port: Number(port) });
    send(wire('request'));
    await carrier.until(() => place.heard.length === 1);
    return { gateway, place, send };
  }

  async function connected(): Promise<Asked> {
    const { gateway, place, send } = await asked();
    const challenge = place.heard[0]?.datagram ?? expect.fail('silence');
    const { body } = netcode.openPacket(s2c, protocolId, challenge, netcode.takenByClient);
    send(netcode.sealPacket(c2s, protocolId, packetType.response, 1n, body));
    await carrier.until(() => gateway.peers.size === 1);
    return { gateway, place, send };
  }

  test('request is challenged, and its token connects the client that it says', async () => {
    const { gateway } = await connected();
    const [peer] = gateway.peers;
    expect([peer?.clientId, peer?.timeoutMs]).toEqual([clientId, tokenVector.timeout * 1000]);
    expect(toHex(peer?.userData ?? new Uint8Array(0))).toBe(toHex(userData));
  });

  test.each(['payload_1_c2s', 'payload_16_c2s', 'payload_1200_c2s'])('%s is a message', async (name) => {
    const { gateway, send } = await connected();
    const heard = next(gateway, 'message');
    send(wire(name));
    const [, data] = await carrier.world.until(heard);
    expect(toHex(data)).toBe(vector(name).plain);
  });

  test('keep_alive_c2s confirms', async () => {
    const { gateway, place, send } = await connected();
    send(wire('keep_alive_c2s'));
    await carrier.world.network.run(50);
    place.heard.length = 0;
    const [peer] = gateway.peers;
    peer?.send(Uint8Array.of(1));
    await carrier.until(() => ofType(packetType.payload, place.heard).length === 1);
    expect(ofType(packetType.keepAlive, place.heard)).toEqual([]);
  });

  test('disconnect_c2s disconnects', async () => {
    const { gateway, send } = await connected();
    const ended = next(gateway, 'disconnect');
    send(wire('disconnect_c2s'));
    expect((await carrier.world.until(ended))[1].result).toBe('disconnected');
  });

  test("response_seq1 opens, and echoes another server's challenge", async () => {
    const { gateway, place, send } = await asked();
    send(wire('response_seq1'));
    await carrier.world.network.run(1000);
    expect(gateway.stats.drops).toMatchObject({ authentication: 0, responseInvalid: 1 });
    expect(place.heard).toHaveLength(1);
  });
});

// A client takes a token for one session only, so that the vectors are one story.
test('the shared vectors at a client: denied by one, led by the others from the REQUEST to the end', async () => {
  const place = carrier.placeAt(server);
  const answer = (datagram: Uint8Array): void => {
    place.send(datagram, place.from ?? expect.fail('nobody asked'));
  };
  const said = (type: number): string[] => ofType(type, place.heard).map(toHex);

  const refused = await carrier.call(token);
  await carrier.until(() => place.heard.length > 0);
  answer(wire('denied_seq2p63'));
  await expect(carrier.world.until(refused.attempt)).rejects.toMatchObject({ netcodeState: -1 });
  place.heard.length = 0;

  // Nothing was sealed with the token yet.
  const { attempt, states } = await carrier.call(token);
  await carrier.until(() => place.heard.length > 0);
  expect(said(packetType.request)[0]).toBe(vector('request').wire);

  answer(wire('challenge_seq2p63'));
  // The second has the number 1.
  await carrier.until(() => said(packetType.response).length === 2);
  expect(said(packetType.response)[1]).toBe(vector('response_seq1').wire);

  answer(wire('keep_alive_s2c'));
  const connection = await carrier.world.until(attempt);
  expect([connection.clientIndex, connection.maxClients]).toEqual([3, 64]);
  await carrier.until(() => said(packetType.keepAlive).length > 0);
  expect(said(packetType.keepAlive)[0]).toBe(vector('keep_alive_c2s').wire);

  const heard = next(connection, 'message');
  answer(wire('payload_64_s2c'));
  expect(toHex((await carrier.world.until(heard))[0])).toBe(vector('payload_64_s2c').plain);

  const ended = next(connection, 'disconnect');
  answer(wire('disconnect_s2c'));
  expect((await carrier.world.until(ended))[0].result).toBe('disconnected');
  expect(states).toEqual([0, 1, 2, 3, 0]);
});
