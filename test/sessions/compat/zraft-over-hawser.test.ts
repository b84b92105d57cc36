// The transport of the original client over our own: simulated, and over real sockets of the kind that is the default.

import { describe, expect, test } from 'vitest';
import type { MessageConnection, MessageReceiver } from '../../../src/base/message-connection.js';
import type { ZraftServerMessage } from '../../../src/sessions/compat/zraft-messages.js';
import { ZraftTransport } from '../../../src/sessions/compat/zraft-transport.js';
import {
  type SessionAcceptor,
  serveSessions,
  sessionChannels,
  sessionConnector,
} from '../../../src/sessions/over-hawser.js';
import { decodeClientMessage, encodeServerMessage } from '../../../src/sessions/wire/codec.js';
import type { ClientMessage, ServerMessage } from '../../../src/sessions/wire/messages.js';
import { freshWorldForEachTest, SimulatedWorld, type World, worlds } from '../../transport/support.js';

/** A gateway that answers whatever comes, as far as the messages themselves say how. */
class Answers implements SessionAcceptor {
  readonly heard: string[] = [];
  readonly connections: MessageConnection[] = [];

  accept(connection: MessageConnection): MessageReceiver {
    this.connections.push(connection);
    const answer = (frame: Uint8Array): void => {
      const message = decodeClientMessage(frame);
      this.heard.push(message.type);
      for (const each of answersTo(message)) connection.send(encodeServerMessage(each));
    };
    return {
      message: answer,
      unreliableMessage: (frame) => {
        const message = decodeClientMessage(frame);
        this.heard.push(`${message.type}, unreliable`);
        if (message.type !== 'KeepAlive') return;
        const { timestamp } = message;
        connection.sendUnreliable?.(encodeServerMessage({ type: 'KeepAliveResponse', timestamp }));
      },
      drained: () => undefined,
      closed: () => {
        this.heard.push('closed');
      },
    };
  }
}

function answersTo(message: ClientMessage): ServerMessage[] {
  switch (message.type) {
    case 'CreateSession':
      return [{ type: 'SessionCreated', sessionId: 'a session', nonce: message.nonce }];
    case 'ContinueSession':
      return [{ type: 'SessionContinued', nonce: message.nonce }];
    case 'ClientRequest': {
      const { requestId, payload, createdAt } = message;
      return [
        { type: 'ClientResponse', requestId, result: payload },
        { type: 'ServerRequest', requestId: 1, payload, createdAt },
      ];
    }
    case 'Query':
      return [{ type: 'QueryResponse', correlationId: message.correlationId, result: message.payload }];
    default:
      return [];
  }
}

describe.each(worlds.slice(0, 2))('the original client %s', (_, makeWorld) => {
  let world: World;
  freshWorldForEachTest(makeWorld, (fresh) => {
    world = fresh;
  });

  async function meet() {
    const answers = new Answers();
    const server = await world.listen({ channels: sessionChannels });
    serveSessions(server, answers);
    const network = world instanceof SimulatedWorld ? { network: world.network } : {};
    const connector = sessionConnector(await world.token(server), network);
    const transport = new ZraftTransport(connector, { reconnection: { clock: world.clock } });
    const incoming = transport.incomingMessages[Symbol.asyncIterator]();
    const next = async (): Promise<ZraftServerMessage | undefined> =>
      (await world.until(incoming.next())).value;
    return { answers, server, transport, next };
  }

  test('creates a session, asks, is asked, beats and closes', async () => {
    const { answers, server, transport, next } = await meet();
    const at = new Date(1_705_680_000_000);
    await transport.connect(`tcp://${server.address}`);
    await transport.sendMessage({ type: 'CreateSession', capabilities: new Map([['a', 'b']]), nonce: 42n });
    expect(await next()).toEqual({ type: 'SessionCreated', sessionId: 'a session', nonce: 42n });
    const payload = Buffer.from('payload');
    const requestId = 2n ** 53n - 1n;
    await transport.sendMessage({
      type: 'ClientRequest',
      requestId,
      lowestPendingRequestId: 0n,
      payload,
      createdAt: at,
    });
    expect(await next()).toStrictEqual({ type: 'ClientResponse', requestId, result: payload });
    expect(await next()).toStrictEqual({ type: 'ServerRequest', requestId: 1n, payload, createdAt: at });
    await transport.sendMessage({ type: 'ServerRequestAck', requestId: 1n });
    await transport.sendMessage({ type: 'Query', correlationId: 'q', payload, createdAt: at });
    expect(await next()).toStrictEqual({ type: 'QueryResponse', correlationId: 'q', result: payload });
    await transport.sendMessage({ type: 'KeepAlive', timestamp: at });
    expect(await next()).toEqual({ type: 'KeepAliveResponse', timestamp: at });
    await transport.sendMessage({ type: 'CloseSession', reason: 'ClientShutdown' });
    await transport.disconnect();
    await world.settle();
    expect(answers.heard).toEqual([
      'CreateSession',
      'ClientRequest',
      'ServerRequestAck',
      'Query',
      'KeepAlive, unreliable',
      'CloseSession',
      'closed',
    ]);
    await transport.close();
  });

  test('continues after its connection was ended by the gateway', async () => {
    const { answers, server, transport, next } = await meet();
    await transport.connect(`tcp://${server.address}`);
    await transport.sendMessage({ type: 'CreateSession', capabilities: new Map([['a', 'b']]), nonce: 42n });
    await next();
    answers.connections[0]?.close('enough');
    expect(await next()).toEqual({ type: 'SessionClosed', reason: 'NotLeaderAnymore' });
    await transport.disconnect();
    await transport.connect(`tcp://${server.address}`);
    await transport.sendMessage({ type: 'ContinueSession', sessionId: 'a session', nonce: 43n });
    expect(await next()).toEqual({ type: 'SessionContinued', nonce: 43n });
    await transport.close();
  });
});
