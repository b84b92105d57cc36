// A session with test/keys/python/sae_peer.py, which behaves as the original does, over real UDP: the envelopes and messages, without our protocol.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { Message, Unstamped } from '../../../src/keys/wire/messages.js';
import { facts, party, rsaKey } from './parties.js';

const program = fileURLToPath(new URL('../python/sae_peer.py', import.meta.url));
const ourKey = rsaKey();
const peerKey = rsaKey();
const ours = party('sae-json', 'SAE_A', ourKey, { SAE_PY: peerKey });
/** Unix seconds: the time on both sides, which stands still until a rotation is due. However long a message takes, it comes in time. */
const now = 1_700_000_000;
const rotationAt = now + 3;

interface PeerEvent {
  readonly event: string;
  readonly port?: number;
  readonly state?: string;
  readonly why?: string;
  readonly keys?: Readonly<Record<string, string>>;
}

/** The other SAE, and our socket to it. */
class Conversation implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly #socket = createSocket('udp4');
  readonly #events: AsyncIterator<string>;
  readonly #datagrams: Uint8Array[] = [];
  #port = 0;

  constructor() {
    this.#process = spawn('/usr/bin/python3', [program], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#ended = once(this.#process, 'exit');
    if (this.#process.stdout === null) throw new Error('no stdout');
    this.#events = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
    this.#socket.on('message', (bytes) => this.#datagrams.push(bytes));
  }

  async begin(): Promise<this> {
    this.#socket.bind(0, '127.0.0.1');
    await once(this.#socket, 'listening');
    this.#write({
      sae_id: 'SAE_PY',
      private_key: peerKey.export({ type: 'pkcs8', format: 'pem' }),
      peers: { SAE_A: ['127.0.0.1', this.#socket.address().port] },
      now,
    });
    this.#port = (await this.event('ready')).port ?? 0;
    return this;
  }

  #write(line: object): void {
    this.#process.stdin?.write(`${JSON.stringify(line)}\n`);
  }

  command(command: object): void {
    this.#write(command);
  }

  /** The next event of a kind. */
  async event(kind: string): Promise<PeerEvent> {
    for (;;) {
      const { value, done } = await this.#events.next();
      if (done) throw new Error('the peer ended');
      const event: PeerEvent = JSON.parse(value);
      if (event.event === 'refused' && kind !== 'refused') throw new Error(event.why);
      if (event.event === kind) return event;
    }
  }

  async state(state: string): Promise<void> {
    while ((await this.event('state')).state !== state);
  }

  /** Has it rotate, once it knows that it is to. */
  async rotate(): Promise<void> {
    await this.state('CONFIRMED');
    this.command({ do: 'time', now: rotationAt });
    await this.state('PENDING_DONE');
  }

  sendBytes(bytes: Uint8Array): void {
    this.#socket.send(bytes, this.#port, '127.0.0.1');
  }

  send(message: Unstamped): void {
    const stamped: Message = { ...message, timestamp: now };
    this.sendBytes(ours.envelope.seal(stamped, { ...facts, recipientSaeId: 'SAE_PY' }));
  }

  /** The next message of the peer, which is good. */
  async receive(): Promise<Message> {
    while (this.#datagrams.length === 0) await once(this.#socket, 'message');
    const result = ours.envelope.open(this.#datagrams.shift() ?? new Uint8Array(0));
    if ('refused' in result) throw new Error(result.reason);
    return result.message;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    this.#process.stdin?.end();
    await this.#ended;
  }
}

test.concurrent('an SAE of the original takes part as the slave, to the end of the cleanup', async () => {
  await using peer = await new Conversation().begin();
  const session_id = randomUUID();
  const common = () => ({
    message_id: randomUUID(),
    session_id,
    original_message_id: session_id,
    master_sae_id: 'SAE_A',
    slave_sae_id: 'SAE_PY',
  });
  const { original_message_id: _, ...ids } = { ...common(), message_id: session_id };
  const at = rotationAt;
  const key_ids = ['new key', 'another'];
  const neutral = { epoch: 1, current_key_id: null };
  peer.send({ message_type: 'key_notification', ...ids, key_ids, rotation_timestamp: at, ...neutral });
  expect(await peer.receive()).toMatchObject({
    message_type: 'key_acknowledgment',
    session_id,
    original_message_id: session_id,
    selected_key_id: 'new key',
    status: 'ready',
  });
  await peer.state('ACKNOWLEDGED');
  peer.send({ message_type: 'sync_confirmation', ...common(), final_rotation_timestamp: at });
  await peer.rotate();
  const completed = await peer.receive();
  expect(completed).toMatchObject({
    message_type: 'rotation_completed',
    session_id,
    new_key_id: 'new key',
    rotation_timestamp: at,
  });
  peer.send({ message_type: 'cleanup_status_request', ...common(), new_key_id: 'new key' });
  expect(await peer.receive()).toMatchObject({
    message_type: 'cleanup_status_response',
    original_message_id: session_id,
    status: 'success',
    rolled_keys_count: 0,
  });
  peer.send({
    message_type: 'cleanup_delete_request',
    ...common(),
    new_key_id: 'new key',
    old_key_ids: ['old'],
  });
  expect(await peer.receive()).toMatchObject({
    message_type: 'cleanup_delete_response',
    deleted_key_ids: ['old'],
  });
  peer.send({ message_type: 'cleanup_acknowledgment', ...common(), status: 'completed' });
  await peer.state('IDLE');
});

test.concurrent('an SAE of the original takes part as the master', async () => {
  await using peer = await new Conversation().begin();
  const at = rotationAt;
  peer.command({ do: 'notify', slave: 'SAE_A', key_ids: ['key'], rotation_timestamp: at });
  const notification = await peer.receive();
  expect(notification).toMatchObject({
    message_type: 'key_notification',
    rotation_timestamp: at,
    epoch: 0,
    current_key_id: null,
  });
  const { session_id, message_id } = notification;
  expect(session_id).toBe(message_id);
  const common = {
    session_id,
    original_message_id: session_id,
    master_sae_id: 'SAE_PY',
    slave_sae_id: 'SAE_A',
  };
  peer.send({
    message_type: 'key_acknowledgment',
    ...common,
    message_id: randomUUID(),
    selected_key_id: null,
    status: 'need_more_time',
    suggested_rotation_timestamp: at + 60,
  });
  // It confirms its own time all the same.
  expect(await peer.receive()).toMatchObject({
    message_type: 'sync_confirmation',
    session_id,
    final_rotation_timestamp: at,
  });
  await peer.rotate();
  const completed = { new_key_id: 'key', rotation_timestamp: at, message_id: randomUUID() };
  peer.send({ message_type: 'rotation_completed', ...common, ...completed });
  await peer.event('received');
  peer.command({ do: 'status', session: session_id });
  expect(await peer.receive()).toMatchObject({ message_type: 'cleanup_status_request', new_key_id: 'key' });
});

test.concurrent('what we refuse, a key that nobody pinned, the original takes', async () => {
  await using peer = await new Conversation().begin();
  const forger = party('sae-json', 'SAE_A', rsaKey(), { SAE_PY: peerKey });
  const id = randomUUID();
  const message: Message = {
    message_type: 'key_notification',
    message_id: id,
    session_id: id,
    timestamp: now,
    master_sae_id: 'SAE_A',
    slave_sae_id: 'SAE_PY',
    key_ids: ['forged'],
    rotation_timestamp: rotationAt,
    epoch: 1,
    current_key_id: null,
  };
  peer.sendBytes(forger.envelope.seal(message, { ...facts, recipientSaeId: 'SAE_PY' }));
  await peer.event('received');
  const confused = party('sae-json', 'SAE_PY', peerKey, { SAE_A: ourKey });
  const bytes = forger.envelope.seal(message, { ...facts, recipientSaeId: 'SAE_PY' });
  expect(confused.envelope.open(bytes)).toMatchObject({ refused: 'bad_signature' });
});
