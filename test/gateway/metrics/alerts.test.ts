// The rules in docs/alerts/: that they are about metrics that there are, and that each fires when it should.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { allMetrics } from '../../../src/gateway/metrics/tables.js';
import { expressionProblems } from './expressions.js';
import { checkFirings, checkRules, type Firing, hasPromtool, type Series } from './promtool.js';
import { readRules } from './rules-file.js';

const folder = new URL('../../../docs/alerts/', import.meta.url);
const files = readdirSync(folder).sort();
const textOf = (file: string): string => readFileSync(new URL(file, folder), 'utf8');

const at = 'instance="a",job="h"';
const listener = `${at},listener="udp"`;
const peers = { [`hawser_transport_peers{${listener},wire="hawser"}`]: '100x60' };
const bucket = (le: string): string => `hawser_transport_peer_rtt_seconds_bucket{${listener},le="${le}"}`;
const dropped = (reason: string): string => `hawser_transport_dropped_total{${listener},reason="${reason}"}`;
const rotations = (result: string): string => `hawser_keys_rotations_total{${at},result="${result}"}`;
const ended = (result: string): string => `hawser_sync_sessions_ended_total{${at},result="${result}"}`;

/** What makes each alert fire within an hour. */
const firings: Readonly<Record<string, Series>> = {
  HawserGatewayRestarts: { [`hawser_gateway_start_time_seconds{${at}}`]: '0+600x60' },
  HawserGatewayDraining: { [`hawser_gateway_state{${at},state="DRAINING"}`]: '1x60' },
  HawserGatewayLoopDelayed: { [`hawser_process_loop_delay_seconds{${at},statistic="p99"}`]: '0.3x60' },
  HawserGatewayBusy: { [`hawser_process_cpu_seconds_total{${at}}`]: '0+59x60' },
  HawserPeersNearLimit: { ...peers, [`hawser_transport_peers_limit{${listener}}`]: '105x60' },
  HawserPeersTimingOut: { ...peers, [`hawser_transport_peers_timed_out_total{${listener}}`]: '0+90x60' },
  HawserRoundTripsLong: { [bucket('0.1')]: '5x60', [bucket('1.0')]: '100x60', [bucket('+Inf')]: '100x60' },
  HawserReceiveBufferOverflows: {
    [`hawser_transport_socket_dropped_total{${listener},reason="kernelReceive"}`]: '0+120x60',
  },
  HawserAuthenticationFailures: { [dropped('unknownKey')]: '0+6000x60' },
  HawserHandshakeFlood: { [dropped('halfOpenFull')]: '0+6000x60' },
  HawserRateCeilings: { [dropped('peerCeiling')]: '0+6000x60' },
  HawserEventQueueFull: { [dropped('eventQueueFull')]: '0+600x60' },
  HawserSyncFailing: { [ended('failed')]: '0+1x60', [ended('succeeded')]: '0+1x60' },
  HawserSyncStalled: {
    [`hawser_sync_sessions{${at}}`]: '3x60',
    [`hawser_sync_items_total{${at},kind="received"}`]: '700x60',
  },
  HawserSyncAgentsWaiting: { [`hawser_sync_waiting_agents{${at},state="held"}`]: '200x60' },
  HawserSyncStoreFailures: { [`hawser_sync_store_failures_total{${at}}`]: '0+1x60' },
  HawserSyncItemsWithoutRoom: { [`hawser_sync_items_total{${at},kind="withoutRoom"}`]: '0+120x60' },
  HawserKeyRotationsFailing: { [rotations('failed')]: '0+1x60' },
  // An hour after the beginning, which is 1970.
  HawserKeyExpiresSoon: { [`hawser_keys_next_expiry_timestamp_seconds{${at}}`]: '3700x60' },
  HawserKeysFailedClosed: { [`hawser_keys_peers_failed_closed{${at}}`]: '1x60' },
  HawserKeyPeersUnlinked: { [`hawser_keys_peers{${at},state="unlinked"}`]: '1x60' },
  HawserKeyClocksDiffer: { [`hawser_keys_clock_difference_seconds{${at}}`]: '2x60' },
  HawserKeyMessagesForged: { [`hawser_keys_messages_dropped_total{${at},reason="replay"}`]: '0+120x60' },
};

/** A gateway of which nothing is wrong. */
const quiet: Series = {
  ...peers,
  [`hawser_transport_peers_limit{${listener}}`]: '1000x60',
  [`hawser_transport_peers_timed_out_total{${listener}}`]: '0+1x60',
  [bucket('0.1')]: '99x60',
  [bucket('1.0')]: '100x60',
  [bucket('+Inf')]: '100x60',
  [`hawser_transport_socket_dropped_total{${listener},reason="kernelReceive"}`]: '0x60',
  ...Object.fromEntries(
    ['unknownKey', 'halfOpenFull', 'peerCeiling', 'eventQueueFull'].map((each) => [dropped(each), '0x60']),
  ),
  [`hawser_gateway_start_time_seconds{${at}}`]: '600x60',
  [`hawser_gateway_state{${at},state="DRAINING"}`]: '0x60',
  [`hawser_process_loop_delay_seconds{${at},statistic="p99"}`]: '0.02x60',
  [`hawser_process_cpu_seconds_total{${at}}`]: '0+20x60',
  [ended('failed')]: '0x60',
  [ended('succeeded')]: '0+5x60',
  [`hawser_sync_sessions{${at}}`]: '3x60',
  [`hawser_sync_items_total{${at},kind="received"}`]: '0+700x60',
  [`hawser_sync_items_total{${at},kind="withoutRoom"}`]: '0x60',
  [`hawser_sync_waiting_agents{${at},state="held"}`]: '2x60',
  [`hawser_sync_store_failures_total{${at}}`]: '3x60',
  [rotations('failed')]: '0x60',
  [rotations('completed')]: '0+1x60',
  [`hawser_keys_next_expiry_timestamp_seconds{${at}}`]: '90000x60',
  [`hawser_keys_peers_failed_closed{${at}}`]: '0x60',
  [`hawser_keys_peers{${at},state="unlinked"}`]: '0x60',
  [`hawser_keys_clock_difference_seconds{${at}}`]: '0.01x60',
  [`hawser_keys_messages_dropped_total{${at},reason="replay"}`]: '0x60',
};

test('every layer has a file of rules, and every rule a name of its own', () => {
  expect(files).toEqual([
    'gateway.rules.yml',
    'keys.rules.yml',
    'sessions.rules.yml',
    'sync.rules.yml',
    'transport.rules.yml',
  ]);
  const names = files.flatMap((file) => readRules(textOf(file)).map(({ alert }) => alert));
  expect(new Set(names).size).toBe(names.length);
});

describe.each(files)('%s', (file) => {
  const text = textOf(file);
  const rules = readRules(text);

  test('takes metrics that there are, with labels and values that they have', () => {
    for (const { alert, expr } of rules)
      expect([alert, expressionProblems(expr, allMetrics)]).toEqual([alert, []]);
  });

  test('says how grave each is, and what to look at', () => {
    for (const { severity, summary, description } of rules) {
      expect(['warning', 'critical']).toContain(severity);
      expect(summary).toMatch(/\$labels\.(instance|job)/);
      expect(description.length).toBeGreaterThan(80);
    }
  });

  test.runIf(hasPromtool)('promtool takes it', () => {
    expect(checkRules(text)).toBe('');
  });

  // Those of sessions have tests beside their server.
  test.runIf(hasPromtool && file !== 'sessions.rules.yml')(
    'each alert fires when it should, and not otherwise',
    () => {
      const expected: readonly Firing[] = rules.map(({ alert }) => ({ alert, series: firings[alert] ?? {} }));
      expect(checkFirings(text, expected, quiet)).toBe('');
    },
  );
});
