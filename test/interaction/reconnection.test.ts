// Clients that lose their gateway all at once, over the real engine in virtual time.

import { beforeAll, describe, expect, test } from 'vitest';
import { loseGateway, type Return } from '../../scripts/lib/reconnection.mjs';
import { seededRandom } from '../../src/base/random.js';
import { TimingWheel } from '../../src/base/timing-wheel.js';
import { Client, Server } from '../../src/index.js';
import { Device } from '../../src/interaction/device.js';
import { InteractionClient } from '../../src/interaction/interaction-client.js';
import { hawserConnector, interactionChannels, serveInteraction } from '../../src/interaction/over-hawser.js';
import { SimulatedNetwork } from '../../src/testing/index.js';
import { createTokenMinter, generateKey } from '../../src/token/index.js';

const clients = process.env.HAWSER_TEST_DEEP === '1' ? 10_000 : 1000;
/** The long form takes minutes. */
const runTimeoutMs = 20 * 60_000;
const seed = Number(process.env.HAWSER_SEED ?? 1);
const modules = {
  Client,
  createTokenMinter,
  Device,
  generateKey,
  hawserConnector,
  InteractionClient,
  interactionChannels,
  seededRandom,
  Server,
  serveInteraction,
  SimulatedNetwork,
  TimingWheel,
};

/** From when it noticed the loss to its first attempt. */
function waited({ noticedMs, attemptsMs }: Return): number {
  return (attemptsMs[0] ?? Number.NaN) - noticedMs;
}

/** The greatest share of what lies in one second, wherever that begins. */
function greatestShareOfASecond(timesMs: readonly number[]): number {
  const inOrder = timesMs.toSorted((a, b) => a - b);
  let first = 0;
  let most = 0;
  for (const [last, atMs] of inOrder.entries()) {
    while (atMs - (inOrder[first] ?? atMs) >= 1000) ++first;
    most = Math.max(most, last - first + 1);
  }
  return most / inOrder.length;
}

describe(`${clients} clients that lose their gateway, HAWSER_SEED=${seed}`, () => {
  describe('with the jitter of the source document', () => {
    let all: readonly Return[] = [];
    beforeAll(async () => {
      all = await loseGateway(modules, { clients, firstAttemptSpreadMs: 0, seed });
    }, runTimeoutMs);

    test('each tries again 1 to 1.25 s after it noticed, and not all at once', () => {
      const delays = all.map(waited);
      expect(Math.min(...delays)).toBeGreaterThanOrEqual(1000);
      expect(Math.max(...delays)).toBeLessThanOrEqual(1250);
      // Of ten parts of the jitter each has about a tenth of them.
      for (let part = 0; part < 10; ++part) {
        const inPart = delays.filter((delayMs) => Math.floor((delayMs - 1000) / 25) === part);
        expect(inPart.length / clients).toBeGreaterThan(0.05);
        expect(inPart.length / clients).toBeLessThan(0.15);
      }
    });

    test('all are back within 10 s of having noticed, each with its subscription', () => {
      for (const { noticedMs, backMs } of all) expect(backMs - noticedMs).toBeLessThanOrEqual(10_000);
    });
  });

  describe('with firstAttemptSpreadMs of 10 s', () => {
    let all: readonly Return[] = [];
    beforeAll(async () => {
      all = await loseGateway(modules, { clients, firstAttemptSpreadMs: 10_000, seed });
    }, runTimeoutMs);

    test('no second sees more than 15 % of the first attempts', () => {
      expect(greatestShareOfASecond(all.map(({ attemptsMs }) => attemptsMs[0] ?? 0))).toBeLessThanOrEqual(
        0.15,
      );
      expect(greatestShareOfASecond(all.map(waited))).toBeLessThanOrEqual(0.15);
      for (const each of all) {
        expect(waited(each)).toBeGreaterThanOrEqual(1000);
        expect(waited(each)).toBeLessThanOrEqual(11_250);
      }
    });

    test('all are back, each with its subscription', () => {
      for (const { noticedMs, backMs } of all) expect(backMs - noticedMs).toBeLessThanOrEqual(20_000);
    });
  });

  test(
    'a gateway that drains spreads clients that would not spread by themselves',
    async () => {
      const all = await loseGateway(modules, {
        clients,
        firstAttemptSpreadMs: 0,
        reconnectSpreadMs: 10_000,
        seed,
      });
      expect(greatestShareOfASecond(all.map(({ attemptsMs }) => attemptsMs[0] ?? 0))).toBeLessThanOrEqual(
        0.15,
      );
      for (const each of all) {
        expect(waited(each)).toBeGreaterThanOrEqual(1000);
        expect(waited(each)).toBeLessThanOrEqual(11_250);
        expect(each.backMs - each.noticedMs).toBeLessThanOrEqual(20_000);
      }
    },
    runTimeoutMs,
  );
});
