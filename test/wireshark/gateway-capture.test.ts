// A capture of a gateway that runs, opened with tshark: each kind of datagram and of frame that the conversation had is shown by name.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { openCapture } from '../../src/gateway/capture/open-capture.js';
import { reliable, reliableUnordered, type Server, sequenced, unreliable } from '../../src/index.js';
import { mintNetcodeToken } from '../../src/token/index.js';
import { silentLog } from '../gateway/support.js';
import { bytes, next, patienceMs, protocolId, RealWorld, serverKey } from '../transport/support.js';
import { temporaryFile } from './capture-files.js';
import { capinfos, fieldsOf, luaErrors, tsharkMissing } from './wireshark.js';

const channels = {
  moves: unreliable(),
  state: sequenced(),
  chat: reliable(),
  files: reliableUnordered(),
};

/** The blocks of a capture until it has ended. */
async function collect(capture: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of capture) pieces.push(piece);
  return Buffer.concat(pieces);
}

const portOf = ({ address }: { readonly address: string }): number => Number(address.split(':').at(-1));

/** A session packet for a connection that nobody has: RESET is the answer. */
async function provokeReset(server: { readonly address: string }): Promise<void> {
  const socket = createSocket('udp4');
  const packet = Buffer.alloc(80, 7);
  packet[0] = 0xb0;
  socket.send(packet, portOf(server), '127.0.0.1');
  await once(socket, 'message');
  socket.close();
}

/** Everything that a gateway and its clients do, as far as it can be caused. */
async function converse(world: RealWorld, server: Server<typeof channels>): Promise<void> {
  const connecting = next(server, 'connect');
  const connection = await world.connect(await world.token(server), { channels });
  const [peer] = await connecting;
  const heard = new Promise<void>((resolve) => {
    connection.on('message', (_, channel) => channel === 'files' && resolve());
  });
  peer.send('moves', bytes('an unreliable message'));
  peer.send('state', bytes('a sequenced one'));
  peer.send('state', new Uint8Array(5000));
  peer.send('chat', bytes('a reliable one'));
  peer.send('files', new Uint8Array(40_000));
  await heard;
  await connection.updateKeys();
  const delivered = next(server, 'message');
  connection.send('chat', bytes('under the new keys'));
  await delivered;
  await provokeReset(server);
  const netcode = await world.connect(
    await mintNetcodeToken({
      protocolId,
      key: serverKey,
      clientId: 5n,
      addresses: server.publicAddresses,
      timeoutMs: patienceMs,
    }),
  );
  const said = next(server, 'message');
  netcode.send(bytes('over netcode'));
  await said;
  const left = next(server, 'disconnect');
  await netcode.close();
  await left;
  const asked = next(connection, 'goaway');
  const draining = server.drain({ deadlineMs: 60_000 });
  await asked;
  await expect(world.connect(await world.token(server), { channels })).rejects.toMatchObject({
    denied: 'SHUTTING_DOWN',
  });
  await connection.close();
  await draining;
}

describe.skipIf(tsharkMissing !== undefined)('a capture with plaintext in Wireshark', () => {
  let file: Buffer;
  let serverPort = 0;
  let dropped = -1;

  beforeAll(async () => {
    const world = new RealWorld();
    const server = await world.listen({
      channels,
      wires: ['hawser', 'netcode'],
      freshKeys: true,
      resetKey: new Uint8Array(32).fill(1),
    });
    serverPort = portOf(server);
    const capture = openCapture(
      [{ name: 'udp', server }],
      { plaintext: true },
      { version: '0.0.0', log: silentLog() },
    );
    const collected = collect(capture);
    await converse(world, server);
    file = await collected;
    dropped = capture.dropped;
    await world.close();
  });

  function saved(): string {
    const path = temporaryFile();
    writeFileSync(path, file);
    return path;
  }

  test('is a file that capinfos finds whole, with the application and both interfaces', async () => {
    const told = await capinfos(saved());
    expect(told).toMatch(/File type:\s+(?:Wireshark\/... - )?pcapng/);
    expect(told).toMatch(/Capture application: hawser 0\.0\.0/);
    expect(told).toMatch(/Encapsulation = .*[Rr]aw ?ip/i);
    expect(told).toMatch(/Encapsulation = .*wireshark-upper-pdu/);
    expect(told).toMatch(/Number of stat entries = [1-9]/);
    expect(dropped).toBe(0);
  });

  test('has every kind of datagram by name, with valid checksums, between the right addresses', async () => {
    const check = ['-o', 'udp.check_checksum:TRUE', '-o', 'ip.check_checksum:TRUE'];
    const rows = await fieldsOf(
      saved(),
      [
        'hawser.name',
        'hawser.netcode.name',
        'udp.checksum.status',
        'ip.checksum.status',
        'udp.srcport',
        'udp.dstport',
        'frame.packet_flags_direction',
      ],
      [...check, '-Y', 'udp and ip'],
    );
    const names = new Set(
      rows.flatMap(([hawser = [], netcode = []]) => [...hawser, ...netcode.map((name) => `netcode ${name}`)]),
    );
    expect([...names].sort()).toEqual([
      'ACCEPT',
      'CHALLENGE',
      'DENIED',
      'REQUEST',
      'RESET',
      'RESPONSE',
      'netcode CHALLENGE',
      'netcode DISCONNECT',
      'netcode KEEP_ALIVE',
      'netcode PAYLOAD',
      'netcode REQUEST',
      'netcode RESPONSE',
      'session packet',
    ]);
    for (const [, , udp = [], ip = [], from = [], to = [], direction = []] of rows) {
      expect([udp, ip]).toEqual([['1'], ['1']]);
      expect(Number(direction[0]) === 1 ? to : from).toEqual([String(serverPort)]);
    }
  });

  test('has every kind of frame that was exchanged by name, and nothing malformed', async () => {
    const rows = await fieldsOf(saved(), ['hawser.frame.name', 'hawser.malformed', 'hawser.violation']);
    const names = new Set(rows.flatMap(([frames = []]) => frames));
    for (const name of [
      'PING',
      'PONG',
      'ACK',
      'NEW_ID',
      'MESSAGE',
      'SEQUENCED',
      'RELIABLE',
      'FRAGMENT',
      'KEY_UPDATE',
      'KEY_UPDATE_REPLY',
      'GOAWAY',
      'DISCONNECT',
      'MTU_PROBE',
      'PADDING',
    ]) {
      expect(names, name).toContain(name);
    }
    expect(rows.flatMap(([, malformed = [], violations = []]) => [...malformed, ...violations])).toEqual([]);
  });

  test('has the plaintext of what either side said, in both directions and in both protocols', async () => {
    const rows = await fieldsOf(saved(), [
      'hawser.direction',
      'hawser.message.data',
      'hawser.netcode.data',
      'hawser.epoch',
    ]);
    const said = rows.flatMap(([direction = [], data = [], netcode = [], epoch = []]) =>
      [...data, ...netcode].map((hex) => `${direction[0]} ${epoch[0]} ${Buffer.from(hex, 'hex').toString()}`),
    );
    expect(said).toContain('1 0 an unreliable message');
    expect(said).toContain('1 0 a sequenced one');
    expect(said).toContain('1 0 a reliable one');
    expect(said).toContain('0 1 under the new keys');
    expect(said).toContain('0 0 over netcode');
  });

  test('gives no cause for a complaint of Lua', async () => {
    expect(await luaErrors(saved())).toEqual([]);
  });
});
