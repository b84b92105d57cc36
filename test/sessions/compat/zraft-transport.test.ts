// The transport of the original client over connections that a test makes, in virtual time.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import type { MessageConnection, MessageReceiver } from '../../../src/base/message-connection.js';
import type { GatewayTarget } from '../../../src/sessions/client/options.js';
import type { ZraftClientMessage, ZraftServerMessage } from '../../../src/sessions/compat/zraft-messages.js';
import { ZraftTransport, type ZraftTransportOptions } from '../../../src/sessions/compat/zraft-transport.js';
import { decodeClientMessage, encodeServerMessage } from '../../../src/sessions/wire/codec.js';
import type { ServerMessage } from '../../../src/sessions/wire/messages.js';
import { VirtualTime } from '../../interaction/virtual-time.js';

const create: ZraftClientMessage = {
  type: 'CreateSession',
  capabilities: new Map([['version', '1']]),
  nonce: 5n,
};
const keepAlive: ZraftClientMessage = { type: 'KeepAlive', timestamp: new Date(7) };
const ack = (requestId: bigint): ZraftClientMessage => ({ type: 'ServerRequestAck', requestId });

/** One connection that was made. */
class Link implements MessageConnection {
  readonly detectsLoss = true;
  readonly target: GatewayTarget;
  /** What the client sent, by how. */
  readonly sent: string[] = [];
  readonly receiver: MessageReceiver;
  closed = false;
  /** What `send` throws. */
  failure: HawserError | undefined = undefined;

  constructor(target: GatewayTarget, attach: (connection: MessageConnection) => MessageReceiver) {
    this.target = target;
    this.receiver = attach(this);
  }

  send(message: Uint8Array): boolean {
    if (this.failure !== undefined) throw this.failure;
    this.sent.push(decodeClientMessage(message).type);
    return true;
  }

  sendUnreliable(message: Uint8Array): boolean {
    if (this.failure !== undefined) throw this.failure;
    this.sent.push(`${decodeClientMessage(message).type}, unreliable`);
    return true;
  }

  close(): void {
    this.closed = true;
  }

  says(message: ServerMessage): void {
    this.receiver.message(encodeServerMessage(message));
  }

  breaks(): void {
    this.receiver.closed(new HawserError('ERR_HAWSER_CONNECTION_LOST', 'cut'));
  }
}

describe('the transport of the original client', () => {
  let time: VirtualTime;
  let links: Link[];
  /** Whether attempts succeed. */
  let reachable: boolean;
  let targets: GatewayTarget[];
  let transport: ZraftTransport;
  let received: ZraftServerMessage[];
  let ended: boolean;

  function make(options: ZraftTransportOptions = {}): void {
    transport = new ZraftTransport(
      async (attach, _, target, connectedTo) => {
        targets.push(target);
        if (!reachable) throw new HawserError('ERR_HAWSER_TIMED_OUT', 'nobody answers');
        connectedTo(target.first ?? 'gateway-1:1');
        links.push(new Link(target, attach));
      },
      { ...options, reconnection: { clock: time.clock, random: () => 0, ...options.reconnection } },
    );
    const take = async (): Promise<void> => {
      for await (const message of transport.incomingMessages) received.push(message);
      ended = true;
    };
    void take();
  }

  const link = (): Link => {
    const last = links.at(-1);
    if (last === undefined) throw new Error('there is no connection');
    return last;
  };
  const pass = (ms = 0): Promise<void> => time.passTo(time.nowMs + ms);
  const types = (): string[] => received.map(({ type }) => type);

  beforeEach(() => {
    time = new VirtualTime();
    links = [];
    targets = [];
    received = [];
    reachable = true;
    ended = false;
    make();
  });
  afterEach(() => transport.close());

  test('resolves at once, and sends what was sent meanwhile when it is connected, but for heartbeats', async () => {
    reachable = false;
    await transport.connect('tcp://10.0.0.1:1');
    await transport.sendMessage(create);
    await transport.sendMessage(keepAlive);
    await transport.sendMessage(ack(1n));
    await pass(50);
    expect(links).toEqual([]);
    reachable = true;
    await pass(60);
    expect(link().sent).toEqual(['CreateSession', 'ServerRequestAck']);
    await transport.sendMessage(keepAlive);
    await transport.sendMessage(ack(2n));
    expect(link().sent.slice(2)).toEqual(['KeepAlive, unreliable', 'ServerRequestAck']);
    expect(transport.stats).toEqual({ dropped: 1, undecodable: 0 });
  });

  test('begins with the gateway that the address of the member names', async () => {
    await transport.connect('tcp://10.0.0.1:1');
    await transport.connect('ipc:///run/gateway');
    await pass();
    make({ gatewayOf: (address) => (address === 'tcp://one:1' ? '192.0.2.1:9' : undefined) });
    await transport.connect('tcp://one:1');
    await pass();
    expect(targets.map(({ first }) => first)).toEqual(['10.0.0.1:1', undefined, '192.0.2.1:9']);
  });

  test('tells what gateways say, in order, whichever connection it comes by', async () => {
    await transport.connect('tcp://10.0.0.1:1');
    await pass();
    link().says({ type: 'SessionContinued', nonce: 1n });
    link().receiver.unreliableMessage?.(encodeServerMessage({ type: 'KeepAliveResponse', timestamp: 3 }));
    await transport.connect('tcp://10.0.0.2:1');
    await pass();
    link().says({ type: 'SessionContinued', nonce: 2n });
    await pass();
    expect(received).toEqual([
      { type: 'SessionContinued', nonce: 1n },
      { type: 'KeepAliveResponse', timestamp: new Date(3) },
      { type: 'SessionContinued', nonce: 2n },
    ]);
  });

  test('does not hear a connection any more that it has given up', async () => {
    await transport.connect('tcp://10.0.0.1:1');
    await pass();
    const former = link();
    await transport.disconnect();
    expect(former.closed).toBe(true);
    former.says({ type: 'SessionContinued', nonce: 1n });
    former.breaks();
    await transport.connect('tcp://10.0.0.1:1');
    await pass();
    former.says({ type: 'SessionContinued', nonce: 2n });
    former.breaks();
    await pass();
    expect(received).toEqual([]);
    expect(links).toHaveLength(2);
    expect(link().closed).toBe(false);
  });

  test('tells of a loss as of a gateway that serves no more, and connects anew at once', async () => {
    await transport.connect('tcp://10.0.0.1:1');
    await pass(6000);
    link().breaks();
    await pass();
    expect(received).toEqual([{ type: 'SessionClosed', reason: 'NotLeaderAnymore' }]);
    expect(links).toHaveLength(2);
    await transport.sendMessage(ack(1n));
    expect(link().sent).toEqual(['ServerRequestAck']);
  });

  test('tells of a loss as the protocol does, where that is wanted', async () => {
    make({ lossReason: 'ConnectionClosed' });
    await transport.connect('tcp://10.0.0.1:1');
    await pass();
    link().breaks();
    await pass();
    expect(received).toEqual([{ type: 'SessionClosed', reason: 'ConnectionClosed' }]);
  });

  test('names the gateway that a gateway which goes away has named', async () => {
    await transport.connect('tcp://10.0.0.1:1');
    await pass(6000);
    link().receiver.farewell?.({ deadlineMs: 0, reconnectSpreadMs: 0, elsewhere: '10.0.0.3:1' });
    link().breaks();
    await pass();
    link().breaks();
    await pass();
    expect(received).toEqual([
      { type: 'SessionClosed', reason: 'NotLeaderAnymore', leaderId: '10.0.0.3:1' },
      { type: 'SessionClosed', reason: 'NotLeaderAnymore' },
    ]);
  });

  test('case 13: goes to the leader that a gateway names, though the client only sends again', async () => {
    await transport.connect('tcp://10.0.0.1:1');
    await transport.sendMessage(create);
    await pass();
    const follower = link();
    follower.says({ type: 'SessionRejected', reason: 'NotLeader', nonce: 5n, leaderId: '10.0.0.2:1' });
    await pass();
    await transport.sendMessage(create);
    await pass(150);
    expect(follower.closed).toBe(true);
    expect(follower.sent).toEqual(['CreateSession']);
    expect(link().target).toEqual({ first: '10.0.0.2:1', last: '10.0.0.1:1' });
    expect(link().sent).toEqual(['CreateSession']);
    // What the client does about it is its own affair: no loss is told.
    expect(types()).toEqual(['SessionRejected']);
  });

  test('case 13: goes on to the next gateway when a leader that is gone is not followed by a known one', async () => {
    await transport.connect('tcp://10.0.0.1:1');
    await pass(6000);
    link().says({ type: 'SessionClosed', reason: 'NotLeaderAnymore', leaderId: undefined });
    await pass(150);
    expect(link().target).toEqual({ first: undefined, last: '10.0.0.1:1' });
    expect(types()).toEqual(['SessionClosed']);
  });

  test('tries followers that all send it on less and less often', async () => {
    await transport.connect('tcp://10.0.0.1:1');
    await pass();
    for (let step = 0; step < 10_000; step += 10) {
      if (!link().closed)
        link().says({ type: 'SessionRejected', reason: 'NotLeader', nonce: 5n, leaderId: '10.0.0.2:1' });
      await pass(10);
    }
    // 0.1 s, 0.2 s, 0.4 s and so on to 5 s.
    expect(links.length).toBeLessThan(10);
    expect(links.length).toBeGreaterThan(5);
  });

  test('drops what waits when it is disconnected, and takes nothing until it is connected again', async () => {
    await expect(transport.sendMessage(create)).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
    reachable = false;
    await transport.connect('tcp://10.0.0.1:1');
    await transport.sendMessage(create);
    await transport.disconnect();
    await transport.disconnect();
    await expect(transport.sendMessage(create)).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
    reachable = true;
    await pass(10_000);
    expect(links).toEqual([]);
    await transport.connect('tcp://10.0.0.1:1');
    await pass();
    expect(link().sent).toEqual([]);
  });

  test('keeps so much that waits, and drops the rest', async () => {
    make({ maxQueuedBytes: 3 * (15 + 64) });
    reachable = false;
    await transport.connect('tcp://10.0.0.1:1');
    for (let id = 1n; id <= 5n; ++id) await transport.sendMessage(ack(id));
    reachable = true;
    await pass(150);
    expect(link().sent).toHaveLength(3);
    expect(transport.stats.dropped).toBe(2);
    // What was sent takes no room any more.
    reachable = false;
    link().breaks();
    for (let id = 1n; id <= 4n; ++id) await transport.sendMessage(ack(id));
    reachable = true;
    await pass(10_000);
    expect(link().sent).toHaveLength(3);
    expect(transport.stats.dropped).toBe(3);
  });

  test('keeps what a connection does not take any more, and drops what it has no room for', async () => {
    await transport.connect('tcp://10.0.0.1:1');
    await pass(6000);
    const former = link();
    former.failure = new HawserError('ERR_HAWSER_QUEUE_FULL', 'full');
    await transport.sendMessage(ack(1n));
    former.failure = new HawserError('ERR_HAWSER_NOT_CONNECTED', 'gone');
    await transport.sendMessage(ack(2n));
    former.breaks();
    await pass();
    expect(link().sent).toEqual(['ServerRequestAck']);
    expect(transport.stats.dropped).toBe(1);
  });

  test('refuses what is no message, and goes on', async () => {
    await transport.connect('tcp://10.0.0.1:1');
    await pass();
    const wrong = { type: 'CreateSession', capabilities: new Map(), nonce: 1n } as const;
    await expect(transport.sendMessage(wrong)).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    await transport.sendMessage(create);
    expect(link().sent).toEqual(['CreateSession']);
  });

  test('counts frames that are no message of the original protocol, and goes on', async () => {
    await transport.connect('tcp://10.0.0.1:1');
    await pass();
    link().receiver.message(new Uint8Array(0));
    link().receiver.message(new Uint8Array(500).fill(0xff));
    const refused = { error: new Uint8Array(0), retryAfterMs: 0, reason: 'HandlerFailed' } as const;
    link().says({ type: 'RequestError', requestId: 1, ...refused });
    link().says({ type: 'QueryError', correlationId: 'q', ...refused });
    link().says({ type: 'SessionContinued', nonce: 1n });
    await pass();
    expect(transport.stats.undecodable).toBe(4);
    expect(types()).toEqual(['SessionContinued']);
  });

  test('gives a connection up whose messages nobody takes', async () => {
    await transport.close();
    make();
    // Nobody but the iteration of `make`, which has had no turn yet.
    await transport.connect('tcp://10.0.0.1:1');
    await pass();
    const flooded = link();
    for (let n = 0; n < 20_000; ++n) flooded.says({ type: 'KeepAliveResponse', timestamp: n });
    expect(flooded.closed).toBe(true);
    await pass();
    expect(received.length).toBeLessThanOrEqual(10_001);
  });

  test('ends the iterations when it is closed, and connects no more', async () => {
    await transport.connect('tcp://10.0.0.1:1');
    await pass();
    link().says({ type: 'SessionContinued', nonce: 1n });
    await transport.close();
    await transport.close();
    expect(link().closed).toBe(true);
    await pass();
    expect(types()).toEqual(['SessionContinued']);
    expect(ended).toBe(true);
    await expect(transport.connect('tcp://10.0.0.1:1')).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    await expect(transport.sendMessage(create)).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
    const iterator = transport.incomingMessages[Symbol.asyncIterator]();
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });

  test('refuses options and addresses that are none', async () => {
    expect(() => new ZraftTransport('connector' as never)).toThrow(/^connector must be a function/);
    expect(() => make({ lossReason: 'Shutdown' as never })).toThrow(/^lossReason must be one of/);
    expect(() => make({ maxQueuedBytes: -1 })).toThrow(/^maxQueuedBytes must be/);
    await expect(transport.connect('')).rejects.toThrow(/^address must be/);
  });
});
