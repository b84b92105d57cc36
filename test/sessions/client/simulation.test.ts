// A client among gateways that come and go, lose answers, refuse, send it elsewhere and say what they like: whatever it asks is carried out once, and
// what it is told arrives once and in order.

import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import type { ClientMessage } from '../../../src/sessions/wire/messages.js';
import { type Outcome, world } from './client-world.js';
import { bytesOf, type ScriptedGateway, type ScriptedLink, textOf } from './scripted-gateways.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const only = process.env.HAWSER_SEED;
const seeds =
  only === undefined ? Array.from({ length: deep ? 1000 : 30 }, (_, seed) => seed) : [Number(only)];

const steps = 120;
const calmMs = 400_000;

function simulate(seed: number) {
  const random = seededRandom(seed);
  const chance = (share: number): boolean => random() < share;
  const got: number[] = [];
  const outside = { isCalm: false, pushed: 0, acknowledged: 0 };
  const setUp = world({
    cluster: { seed: seed + 1 },
    random,
    onServerRequest: ({ requestId }) => void got.push(requestId),
  });
  const { cluster } = setUp;

  /** Server requests that are not acknowledged, as a server sends them. */
  const push = (link: ScriptedLink): void => {
    for (let requestId = outside.acknowledged + 1; requestId <= outside.pushed; ++requestId) {
      if (outside.isCalm || chance(0.8)) {
        link.send({ type: 'ServerRequest', requestId, payload: bytesOf(''), createdAt: 0 });
      }
    }
  };

  /** @returns whether the gateway does something else than it should. */
  const misbehave = (message: ClientMessage, link: ScriptedLink): boolean => {
    const elsewhere = ['a:1', 'b:1', 'c:1', 'd:1', undefined][Math.floor(random() * 5)];
    switch (message.type) {
      case 'CreateSession':
      case 'ContinueSession':
        if (chance(0.15)) {
          const reason = chance(0.5) ? 'NotLeader' : 'Other';
          link.send({ type: 'SessionRejected', reason, nonce: message.nonce, leaderId: elsewhere });
          return true;
        }
        return chance(0.1);
      case 'ClientRequest': {
        const { requestId } = message;
        const error = bytesOf('');
        if (chance(0.1)) {
          const retryAfterMs = Math.floor(random() * 3000);
          link.send({ type: 'RequestError', requestId, reason: 'StoreUnavailable', error, retryAfterMs });
          return true;
        }
        // Carried out, and the answer is lost.
        const isSilent = chance(0.2);
        if (isSilent) link.server.send = () => true;
        cluster.serve(message, link, 'reliable');
        if (isSilent) Reflect.deleteProperty(link.server, 'send');
        return true;
      }
      case 'KeepAlive':
        if (chance(0.05)) {
          const reason = chance(0.5) ? 'NotLeaderAnymore' : 'SessionError';
          link.send({ type: 'SessionClosed', reason, leaderId: elsewhere });
          return true;
        }
        return chance(0.1);
      default:
        return false;
    }
  };

  for (const gateway of cluster.gateways) {
    gateway.script = (message, link) => {
      if (message.type === 'ServerRequestAck') {
        outside.acknowledged = Math.max(outside.acknowledged, message.requestId);
      }
      if (message.type === 'KeepAlive') push(link);
      return !outside.isCalm && misbehave(message, link);
    };
  }
  return { ...setUp, chance, random, outside, got };
}

/** Something happens to a gateway. */
function disturb(gateway: ScriptedGateway, { chance, random }: ReturnType<typeof simulate>): void {
  if (chance(0.3)) gateway.kill();
  else gateway.isUp = true;
  const link = gateway.links.at(-1);
  if (link === undefined || !link.isOpen) return;
  if (chance(0.2)) link.cut();
  if (chance(0.2)) link.close();
  if (chance(0.2)) {
    link.tellFarewell({
      deadlineMs: random() * 20_000,
      reconnectSpreadMs: random() * 20_000,
      elsewhere: 'b:1',
    });
  }
  if (chance(0.2)) link.client.room = 'full';
}

describe('a client in trouble', () => {
  test.each(seeds)('HAWSER_SEED=%i: everything counts once', async (seed) => {
    const simulation = simulate(seed);
    const { client, cluster, pass, watch, chance, random, outside, got, close, states } = simulation;
    const errors: unknown[] = [];
    client.on('listenerError', (error) => errors.push(error));
    watch(client.connect());
    const calls: { readonly text: string; readonly outcome: Outcome }[] = [];
    const aborted = new Set<string>();
    for (let step = 0; step < steps; ++step) {
      cluster.lossRate = chance(0.5) ? 0.3 : 0;
      if (chance(0.5) && client.state !== 'Expired') {
        const text = `${step}`;
        const controller = new AbortController();
        calls.push({ text, outcome: watch(client.request(bytesOf(text), { signal: controller.signal })) });
        if (chance(0.1)) {
          aborted.add(text);
          cluster.time.clock.setTimeout(() => controller.abort(), random() * 5000);
        }
      }
      if (chance(0.3)) ++outside.pushed;
      for (const gateway of cluster.gateways) if (chance(0.05)) disturb(gateway, simulation);
      await pass(random() * 10_000);
    }
    outside.isCalm = true;
    cluster.lossRate = 0;
    for (const gateway of cluster.gateways) {
      gateway.isUp = true;
      for (const { client: end } of gateway.links) {
        end.room = 'free';
        end.receiver?.drained();
      }
    }
    await pass(calmMs);

    expect(errors).toEqual([]);
    expect(client.state).toBe('Connected');
    expect(states).not.toContain('Expired');
    const session = cluster.sessions.get(client.sessionId ?? '');
    const executed = session?.executed ?? [];
    expect(new Set(executed).size).toBe(executed.length);
    for (const { text, outcome } of calls) {
      if (aborted.has(text) && outcome.state === 'rejected') continue;
      expect(outcome.state, text).toBe('resolved');
      expect(textOf(outcome.value as Uint8Array)).toBe(`did ${text}`);
      expect(executed).toContain(text);
    }
    expect(got).toEqual(Array.from({ length: outside.pushed }, (_, n) => n + 1));
    // Each is a connection, of which no more than 4 come without a pause.
    expect(cluster.attempts.length).toBeLessThan(cluster.time.nowMs / 500);
    await close();
    expect(cluster.time.wheel.size).toBe(0);
    expect(cluster.links).toHaveLength(0);
  });
});
