// SAEs over plain datagrams, in the envelope of the original and in that of HAWSER.

import { generateKeyPairSync } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { afterEach, describe, expect, it } from 'vitest';
import { TimingWheel } from '../../../src/base/timing-wheel.js';
import { Sae } from '../../../src/keys/agent/sae.js';
import { checkUdpAddress, UdpSocket } from '../../../src/keys/links/udp-socket.js';
import { RecordingPersona } from '../../../src/keys/personas/recording-persona.js';
import { MemoryKeyStore } from '../../../src/keys/store/memory-store.js';
import type { SaeWire } from '../../../src/keys/wire/wire-name.js';
import { TestKeyPool } from '../agent/key-pool.js';
import { TurnTime } from '../turn-time.js';

const rsa = () => generateKeyPairSync('rsa', { modulusLength: 2048 });
const keys = {
  'sae-json': { SAE_M: rsa(), SAE_S: rsa() },
  hawser: { SAE_M: generateKeyPairSync('ed25519'), SAE_S: generateKeyPairSync('ed25519') },
};

const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

/** Two SAEs with sockets of their own, and one time: the original's envelope has no second round for a message that comes late. */
async function pair(wire: SaeWire) {
  const pool = new TestKeyPool();
  const time = new TurnTime();
  opened.push(time);
  const open = async (saeId: 'SAE_M' | 'SAE_S') => {
    const sae = await Sae.open({
      saeId,
      signingKey: keys[wire][saeId].privateKey,
      store: new MemoryKeyStore(),
      keySource: pool.source(),
      persona: new RecordingPersona(),
      testRanges: true,
      wheel: new TimingWheel(time.clock),
      udp: { host: '127.0.0.1', port: 0 },
    });
    opened.push(sae);
    return sae;
  };
  const [master, slave] = [await open('SAE_M'), await open('SAE_S')];
  const common = { wire, leadMs: 200, graceMs: 50 } as const;
  const of = (sae: Sae) => ({ host: '127.0.0.1', port: sae.udpAddress?.port ?? 0 });
  const { SAE_M, SAE_S } = keys[wire];
  await master.addPeer({
    ...common,
    saeId: 'SAE_S',
    publicKey: SAE_S.publicKey,
    role: 'master',
    address: of(slave),
  });
  await slave.addPeer({
    ...common,
    saeId: 'SAE_M',
    publicKey: SAE_M.publicKey,
    role: 'slave',
    address: of(master),
  });
  return { master, slave, addressOf: of };
}

describe('SAEs over datagrams', () => {
  it('rotate in the envelope of the original', async () => {
    const { master, slave } = await pair('sae-json');
    const first = await master.rotate('SAE_S');
    const second = await master.rotate('SAE_S');
    expect(second.oldKeyId).toBe(first.newKeyId);
    expect(slave.status().peers[0]).toMatchObject({ productionKeyId: second.newKeyId });
  });

  it('rotate in the envelope of HAWSER', async () => {
    const { master, slave } = await pair('hawser');
    const result = await master.rotate('SAE_S');
    expect(result.outcome).toBe('completed');
    expect(slave.status().peers[0]).toMatchObject({ productionKeyId: result.newKeyId });
  });

  it('count and drop what anybody may send to them, and answer none of it', async () => {
    const { slave, addressOf } = await pair('sae-json');
    const socket = createSocket('udp4');
    const answers: unknown[] = [];
    socket.on('message', (message) => answers.push(message));
    const junk = [
      Buffer.alloc(0),
      Buffer.from('{'),
      Buffer.from(
        '{"payload":"e30=","signature":"AA==","sender_sae_id":"SAE_M","public_key":"x","type":"NOTIFY"}',
      ),
      Buffer.from('HSAE'),
      Buffer.alloc(8193, 0x7b),
      Buffer.alloc(60_000, 0x20),
    ];
    const { host, port } = addressOf(slave);
    for (const bytes of junk) await new Promise((resolve) => socket.send(bytes, port, host, resolve));
    const dropped = () => Object.values(slave.status().dropped).reduce((sum, count) => sum + count, 0);
    while (dropped() < junk.length) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(slave.status().dropped.too_long).toBe(2);
    expect(slave.status().peers[0]).toMatchObject({ received: 0, sent: 0 });
    expect(answers).toEqual([]);
    await new Promise<void>((resolve) => socket.close(() => resolve()));
  });
});

describe('a socket for datagrams', () => {
  it('says why it cannot be opened', async () => {
    const receiver = { datagram: () => undefined, tooLong: () => undefined };
    const first = await UdpSocket.open({ host: '127.0.0.1', port: 0 }, receiver);
    opened.push(first);
    await expect(UdpSocket.open(first.address, receiver)).rejects.toMatchObject({
      code: 'ERR_HAWSER_ADDRESS_IN_USE',
    });
    await expect(UdpSocket.open({ host: '203.0.113.1', port: 0 }, receiver)).rejects.toMatchObject({
      code: 'ERR_HAWSER_ADDRESS_NOT_AVAILABLE',
    });
  });

  it('takes addresses, and no names', () => {
    for (const host of ['localhost', 'kme.example', '', '1.2.3']) {
      expect(() => checkUdpAddress('udp', { host, port: 1 }, 0)).toThrow('udp.host must be an IP address');
    }
    expect(() => checkUdpAddress('address', { host: '::1', port: 0 }, 1)).toThrow('address.port');
    expect(checkUdpAddress('address', { host: '::1', port: 5000 }, 1)).toEqual({ host: '::1', port: 5000 });
  });

  it('takes an address of IPv6 in whatever form, and tells it as sockets do', () => {
    const hostOf = (host: string): string => checkUdpAddress('address', { host, port: 1 }, 1).host;
    expect(hostOf('2001:DB8:0:0::1')).toBe('2001:db8::1');
    expect(hostOf('fe80::1%eth0')).toBe('fe80::1%eth0');
  });

  it('drops what is sent after it was closed, and what the system does not take', async () => {
    const receiver = { datagram: () => undefined, tooLong: () => undefined };
    const socket = await UdpSocket.open({ host: '127.0.0.1', port: 0 }, receiver);
    const link = socket.linkTo({ host: '127.0.0.1', port: 9 });
    const taken = Array.from({ length: 1100 }, () => link.send(new Uint8Array(8)));
    expect(taken.filter((each) => each)).toHaveLength(1024);
    expect(socket.counts.refused).toBe(76);
    await socket.close();
    expect(link.send(new Uint8Array(8))).toBe(false);
  });
});
