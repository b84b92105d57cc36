// What `hawser top` makes of snapshots.

import { expect, test } from 'vitest';
import { TopModel } from '../../src/cli/top-model.js';
import { detailLines, peerLines } from '../../src/cli/top-peers.js';
import { overviewLines, rttText } from '../../src/cli/top-view.js';
import type { GatewaySnapshot, ListenerSnapshot } from '../../src/gateway/snapshot.js';
import { FakeGateway, fakeListener, fakePeer } from '../gateway/admin/fake-gateway.js';
import { madeUpSnapshot } from '../gateway/metrics/made-up-snapshot.js';
import { ansiEscape } from './support.js';

const plain = (_: unknown, text: string): string => text;

function snapshotAt(timeMs: number, listeners: readonly ListenerSnapshot[]): GatewaySnapshot {
  return { ...new FakeGateway().snapshot(), timeMs, listeners };
}

/** A listener whose counters are so many. */
function counted(changes: Partial<ListenerSnapshot['counters']>, drops: object = {}): ListenerSnapshot {
  const { counters, drops: none } = fakeListener();
  return fakeListener({ counters: { ...counters, ...changes }, drops: { ...none, ...drops } });
}

test('rates are those of the last second, and of another process none', () => {
  const model = new TopModel();
  model.push(snapshotAt(1000, [counted({ messagesReceived: 100, bytesReceived: 0 })]));
  expect(model.ratesOf('udp').messagesIn).toBe(0);
  model.push(snapshotAt(2000, [counted({ messagesReceived: 600, bytesReceived: 2048 })]));
  expect(model.ratesOf('udp')).toMatchObject({ messagesIn: 500, bytesIn: 2048 });
  expect(model.ratesOf('other').messagesIn).toBe(0);
  // Restarted: its counters begin anew.
  model.push({ ...snapshotAt(3000, [counted({ messagesReceived: 5 })]), pid: 2 });
  expect(model.ratesOf('udp').messagesIn).toBe(0);
});

test('what is dropped now comes first, the fastest before the others, then what was dropped most', () => {
  const model = new TopModel();
  model.push(snapshotAt(1000, [counted({}, { length: 5000, replayed: 10, tooOld: 10, version: 1 })]));
  model.push(snapshotAt(2000, [counted({}, { length: 5000, replayed: 12, tooOld: 50, version: 1 })]));
  expect(model.ratesOf('udp').drops).toEqual([
    { reason: 'tooOld', total: 50, perSecond: 40 },
    { reason: 'replayed', total: 12, perSecond: 2 },
    { reason: 'length', total: 5000, perSecond: 0 },
    { reason: 'version', total: 1, perSecond: 0 },
  ]);
  const text = overviewLines(model, plain).join('\n');
  expect(text).toMatch(/drops +tooOld 50 \(\+40\/s\) {2}replayed 12 \(\+2\/s\) {2}length 5,000 {2}version 1/);
});

test('drops of the operating system’s socket are among them', () => {
  const model = new TopModel();
  model.push(snapshotAt(1000, [fakeListener({ socket: { dropKernelReceive: 7, datagramsIn: 9 } })]));
  expect(model.ratesOf('udp').drops).toEqual([{ reason: 'kernelReceive', total: 7, perSecond: 0 }]);
});

test('loss is the share of the packets of now', () => {
  const model = new TopModel();
  model.push(snapshotAt(1000, [counted({ packetsSealed: 1e6, packetsLost: 0 })]));
  model.push(snapshotAt(2000, [counted({ packetsSealed: 1e6 + 1000, packetsLost: 25 })]));
  expect(model.ratesOf('udp').lossShare).toBe(0.025);
});

test('spurious losses are a share of the packets of now, and shown with the loss', () => {
  const model = new TopModel();
  const before = { packetsSealed: 1e6, packetsLost: 500, spuriousLosses: 400 };
  model.push(snapshotAt(1000, [counted(before)]));
  model.push(
    snapshotAt(2000, [counted({ packetsSealed: 1e6 + 1000, packetsLost: 525, spuriousLosses: 410 })]),
  );
  expect(model.ratesOf('udp').spuriousLossShare).toBe(0.01);
  expect(overviewLines(model, plain).join('\n')).toContain('loss 2.5 %, spurious 1.0 %  to be sent');
  // A gateway of an earlier version does not count them.
  const { spuriousLosses: _, ...counters } = fakeListener().counters;
  const old = fakeListener({ counters: counters as ListenerSnapshot['counters'] });
  const other = new TopModel();
  other.push(snapshotAt(1000, [old]));
  other.push(snapshotAt(2000, [old]));
  expect(other.ratesOf('udp').spuriousLossShare).toBe(0);
});

test('round trips are a column for each range between the least and the greatest that there are', () => {
  const bounds = [1, 2, 5, 10, 1000];
  expect(rttText({ bounds, counts: [0, 9, 0, 1, 0, 0] }, plain)).toBe(
    '1 ms █·▁ 10 ms  half up to 2 ms, 99 % up to 10 ms',
  );
  expect(rttText({ bounds, counts: [1, 0, 0, 0, 0, 0] }, plain)).toBe(
    '0 █ 1 ms  half up to 1 ms, 99 % up to 1 ms',
  );
  expect(rttText({ bounds, counts: [0, 0, 0, 0, 0, 3] }, plain)).toBe(
    '1 s █ more than 1 s  half more than 1 s, 99 % more than 1 s',
  );
  expect(rttText({ bounds, counts: [0, 0, 0, 0, 0, 0] }, plain)).toBe('nobody to measure');
});

test('every layer has its line, and a listener without anything only two', () => {
  const model = new TopModel();
  const idle = fakeListener({ name: 'idle', peers: 0 });
  model.push({ ...madeUpSnapshot, listeners: [...madeUpSnapshot.listeners, idle] });
  const lines = overviewLines(model, plain);
  for (const layer of ['interaction', 'sync', 'sessions', 'keys']) {
    expect(lines.filter((line) => line.startsWith(layer)).length).toBe(1);
  }
  expect(lines.join('\n')).toContain('1 stopped for want of a key');
  const at = lines.findIndex((line) => line.startsWith('idle'));
  expect(lines.slice(at + 1, at + 3)).toEqual(['  peers  none, of 10,000', '']);
  expect(lines.join('\n')).not.toMatch(/NaN|undefined|Infinity/);
});

test('where not all fits, each listener has one line, and the layers are still there', () => {
  const model = new TopModel();
  const listeners = ['one', 'two', 'three'].map((name) => fakeListener({ name }));
  model.push({ ...madeUpSnapshot, listeners });
  const all = overviewLines(model, plain);
  expect(overviewLines(model, plain, all.length)).toEqual(all);
  const lines = overviewLines(model, plain, all.length - 1);
  expect(lines.slice(2, 6)).toEqual([
    '',
    'one          3 peers  in 0 out 0 messages/s  loss 0.0 %',
    'two          3 peers  in 0 out 0 messages/s  loss 0.0 %',
    'three        3 peers  in 0 out 0 messages/s  loss 0.0 %',
  ]);
  expect(lines.slice(6)).toEqual(all.slice(-5));
  expect(overviewLines(model, plain, 4)).toEqual(lines.slice(0, 4));
});

test('no text of a gateway, peer or agent commands the terminal', () => {
  const evil = `${ansiEscape}[2J\u202e\r\nx`;
  const model = new TopModel();
  model.push({
    ...madeUpSnapshot,
    name: evil,
    configFile: evil,
    listeners: [fakeListener({ name: evil, address: evil })],
  });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what must not be there.
  expect(overviewLines(model, plain).join('')).not.toMatch(/[\x00-\x1f\u202e]/);
});

test('peers are one line each, as wide whatever is in it, and the marked one stands out', () => {
  const choice = {
    order: 'lost',
    search: '4',
    searching: false,
    offset: 9,
    marked: 1,
    peer: undefined,
  } as const;
  const wide = {
    ...fakePeer('b'),
    address: 'x'.repeat(200),
    rttMs: 1e9,
    packetsLost: 1e12,
    connectedAtMs: 5000,
  };
  const page = { total: 1234, peers: [fakePeer('a'), wide, fakePeer('c')] };
  const paint = (style: unknown, text: string): string => (style === 'inverse' ? `[${text}]` : text);
  const [title, heads = '', ...rows] = peerLines(page, choice, 65_000, 4, paint);
  expect(title).toBe('peers by lost  10 to 11 of 1,234  beginning with 4');
  expect(rows.length).toBe(2);
  expect(rows[0]?.length).toBe(heads.length);
  expect(rows[1]).toMatch(/^\[.*1:00\]$/);
  expect(rows[1]?.length).toBe(heads.length + 2);
});

test('texts of peers take no more room than the longest of them needs', () => {
  const choice = {
    order: 'rtt',
    search: '',
    searching: false,
    offset: 0,
    marked: -1,
    peer: undefined,
  } as const;
  const page = { total: 1, peers: [fakePeer('a')] };
  const [, heads] = peerLines(page, choice, 65_000, 4, plain);
  expect(heads).toMatch(/^client address {8}listener {7}rtt {5}lost /);
});

test('one peer in full has rates from the second look on', () => {
  const peer = { ...fakePeer('udp:0:1:2'), packetsReceived: 300, packetsSent: 1000, packetsLost: 10 };
  const first = detailLines(peer, 10_000, undefined, plain).join('\n');
  expect(first).toMatch(/received +300 packets\n/);
  const before = { peer: { ...peer, packetsReceived: 100 }, timeMs: 8000 };
  const second = detailLines(peer, 10_000, before, plain).join('\n');
  expect(second).toMatch(/received +300 packets \(100\/s\)\n/);
  expect(second).toMatch(/lost +10 \(1\.0 %\)/);
  expect(second).not.toMatch(/NaN|undefined|Infinity/);
});
