// Server requests: acknowledged, then delivered, each once and in order.

import { describe, expect, test } from 'vitest';
import { world } from './client-world.js';
import { bytesOf, type ScriptedGateway, textOf } from './scripted-gateways.js';

function listening() {
  const got: string[] = [];
  const setUp = world({
    onServerRequest: ({ requestId, payload, createdAt }) => {
      got.push(`${requestId} ${textOf(payload)} ${createdAt}`);
    },
  });
  const push = (gateway: ScriptedGateway, ...ids: number[]): void => {
    for (const requestId of ids) {
      gateway.link.send({ type: 'ServerRequest', requestId, payload: bytesOf('p'), createdAt: 9 });
    }
  };
  const acks = (gateway: ScriptedGateway): number[] =>
    gateway.all('ServerRequestAck').map(({ requestId }) => requestId);
  return { ...setUp, got, push, acks };
}

describe('server requests', () => {
  test('case 18: 1, 2, 3 are acknowledged and delivered in order', async () => {
    const { a, connect, pass, got, push, acks } = listening();
    await connect();
    push(a, 1, 2, 3);
    await pass(100);
    expect(got).toEqual(['1 p 9', '2 p 9', '3 p 9']);
    expect(acks(a)).toEqual([1, 2, 3]);
  });

  test('case 18: duplicates are acknowledged again and not delivered', async () => {
    const { a, client, connect, pass, got, push, acks } = listening();
    await connect();
    push(a, 1, 2, 1, 2, 2);
    await pass(100);
    expect(got).toEqual(['1 p 9', '2 p 9']);
    expect(acks(a)).toEqual([1, 2, 1, 2, 2]);
    expect(client.stats).toMatchObject({ serverRequests: 2, duplicateServerRequests: 3 });
  });

  test('case 18: those behind a gap are dropped without an acknowledgement', async () => {
    const { a, client, connect, pass, got, push, acks } = listening();
    await connect();
    push(a, 2, 1, 3, 2, 3);
    await pass(100);
    expect(got).toEqual(['1 p 9', '2 p 9', '3 p 9']);
    expect(acks(a)).toEqual([1, 2, 3]);
    expect(client.stats.serverRequestGaps).toBe(2);
  });

  test('case 18: what was delivered is known on the next connection', async () => {
    const { a, b, connect, pass, got, push, acks } = listening();
    await connect();
    await pass(20_000);
    push(a, 1, 2);
    await pass(100);
    a.link.cut();
    await pass(100);
    push(b, 1, 2, 3);
    await pass(100);
    expect(got).toEqual(['1 p 9', '2 p 9', '3 p 9']);
    expect(acks(b)).toEqual([1, 2, 3]);
  });

  test('case 18: the acknowledgement goes before the delivery', async () => {
    const order: string[] = [];
    const { a, connect, pass } = world({ onServerRequest: () => void order.push('delivered') });
    await connect();
    const { client: end } = a.link;
    const send = end.send.bind(end);
    end.send = (message) => {
      order.push('acknowledged');
      return send(message);
    };
    a.link.send({ type: 'ServerRequest', requestId: 1, payload: bytesOf('p'), createdAt: 9 });
    await pass(100);
    expect(order).toEqual(['acknowledged', 'delivered']);
  });

  test('an acknowledgement that finds no room is made up for by the next', async () => {
    const { a, client, connect, pass, got, push, acks } = listening();
    await connect();
    a.link.client.room = 'refused';
    push(a, 1);
    await pass(100);
    expect(client.state).toBe('Connected');
    expect(got).toHaveLength(1);
    expect(acks(a)).toEqual([]);
    a.link.client.room = 'free';
    push(a, 1, 2);
    await pass(100);
    expect(got).toHaveLength(2);
    expect(acks(a)).toEqual([1, 2]);
  });

  test('are acknowledged also when nobody takes them', async () => {
    const { a, connect, pass } = world();
    await connect();
    a.link.send({ type: 'ServerRequest', requestId: 1, payload: bytesOf('p'), createdAt: 9 });
    await pass(100);
    expect(a.all('ServerRequestAck')).toMatchObject([{ requestId: 1 }]);
  });
});
