// What connections count, and what they publish on node:diagnostics_channel.

import { Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import { listenTo } from '../../src/base/diagnostics.js';
import { HawserError } from '../../src/base/errors.js';
import { diagnostics } from '../../src/interaction/diagnostics.js';
import { registerInteractionMetrics } from '../../src/interaction/metrics.js';
import { InteractionTotals } from '../../src/interaction/stats.js';
import { meetInMemory } from './meet-in-memory.js';
import { settled } from './virtual-time.js';

const ends: (() => void)[] = [];

afterEach(() => {
  for (const end of ends.splice(0)) end();
});

function hear(): readonly object[] {
  const told: object[] = [];
  ends.push(listenTo(diagnostics.request, (message) => told.push(message)));
  ends.push(listenTo(diagnostics.open, (message) => told.push({ open: message.connections })));
  ends.push(listenTo(diagnostics.close, (message) => told.push({ close: message.error })));
  return told;
}

const ignore = (): undefined => undefined;

test('each request is told with the status of its answer, and how long that took', async () => {
  const told = hear();
  const { time, connect } = meetInMemory({
    read: () => new Map([[1, 2]]),
    write: () => new Promise(() => undefined),
  });
  const { controller } = connect();
  await controller.read(1, 2);
  const writing = controller.write(1, 2, new Map([[1, 1]])).catch(ignore);
  await settled();
  // One at a time is served.
  await controller.read(1, 2).catch(ignore);
  time.runTo(5000);
  await writing;
  await controller.invoke(1, 2, 3).catch(ignore);
  controller.destroy();
  await settled();
  expect(told).toEqual([
    { open: 1 },
    { operation: 'read', status: 'SUCCESS', durationMs: 0 },
    { operation: 'read', status: 'BUSY', durationMs: 0 },
    { operation: 'write', status: 'TIMEOUT', durationMs: 5000 },
    { operation: 'invoke', status: 'UNSUPPORTED', durationMs: 0 },
    { close: null },
  ]);
});

test('what the other side is told in place of an answer is told here, too', async () => {
  const told = hear();
  const { connect } = meetInMemory({ read: () => new Map([[1, 'x'.repeat(70_000)]]) });
  const { controller } = connect();
  await expect(controller.read(1, 2)).rejects.toThrow();
  expect(told.slice(1)).toEqual([{ operation: 'read', status: 'RESOURCE_EXHAUSTED', durationMs: 0 }]);
});

test('a connection that is lost says why', () => {
  const told = hear();
  const { connect } = meetInMemory({});
  connect().served.closed(new HawserError('ERR_HAWSER_CONNECTION_LOST', 'gone'));
  expect(told).toEqual([{ open: 1 }, { close: 'ERR_HAWSER_CONNECTION_LOST' }]);
});

test('a device has the sums of its connections, of those that are over, too', async () => {
  const { device, connect } = meetInMemory({ read: () => new Map([[1, 2]]) });
  const [first, second] = [connect(), connect()];
  await first.controller.subscribe(
    { endpoint: 1, feature: 2, attributes: [], minIntervalMs: 0 },
    { notified: () => undefined },
  );
  await second.controller.read(1, 2);
  await second.controller.write(1, 2, new Map([[1, 1]])).catch(ignore);
  const counts = first.served.counts;
  expect(counts).toMatchObject({ requests: 1, errors: 0 });
  expect(counts.notifications).toBeGreaterThan(0);
  const all = { requests: 3, errors: 1, notifications: counts.notifications };
  expect(device.stats).toEqual({ connections: 2, ...all });
  second.controller.destroy();
  await settled();
  expect(device.stats).toEqual({ connections: 1, ...all });
  const registry = new Registry();
  registerInteractionMetrics(device, registry);
  const text = await registry.metrics();
  expect(text).toContain('\nhawser_interaction_connections 1\n');
  expect(text).toContain('\nhawser_interaction_requests_total{result="success"} 2\n');
  expect(text).toContain('\nhawser_interaction_requests_total{result="error"} 1\n');
});

test('what is taken out of totals twice, or was never there, counts once, or not at all', () => {
  const totals = new InteractionTotals();
  const connection = { counts: { requests: 5, errors: 1, notifications: 2 } };
  totals.add(connection);
  totals.delete({ counts: { requests: 100, errors: 100, notifications: 100 } });
  totals.delete(connection);
  totals.delete(connection);
  expect(totals.stats).toEqual({ connections: 0, requests: 5, errors: 1, notifications: 2 });
});
