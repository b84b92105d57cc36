import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { diagnostics as gateway } from '../../../src/gateway/diagnostics.js';
import { type TraceOptions, traceHawser } from '../../../src/gateway/trace/trace.js';
import { diagnostics as interaction } from '../../../src/interaction/diagnostics.js';
import { type KeysTransitionMessage, diagnostics as keys } from '../../../src/keys/agent/diagnostics.js';
import { kmeChannel } from '../../../src/keys/kme/diagnostics.js';
import { diagnostics as sessions } from '../../../src/sessions/server/diagnostics.js';
import { diagnostics as sync } from '../../../src/sync/manager/diagnostics.js';
import { channels as transport } from '../../../src/transport/diagnostics.js';
import { World } from '../../sessions/server/world.js';
import { SimulatedWorld } from '../../transport/support.js';
import { durationMsOf, SpanCollector } from './spans.js';

let collector: SpanCollector;
let tracing: Disposable;

async function begin(options?: TraceOptions): Promise<void> {
  tracing[Symbol.dispose]();
  tracing = await traceHawser(options);
}

beforeEach(async () => {
  collector = new SpanCollector();
  tracing = await traceHawser();
});

afterEach(async () => {
  vi.useRealTimers();
  tracing[Symbol.dispose]();
  await collector[Symbol.asyncDispose]();
});

const transition: KeysTransitionMessage = {
  saeId: 'sae-1',
  peerSaeId: 'sae-2',
  sessionId: 'session 1',
  role: 'master',
  epoch: 7,
  from: 'IDLE',
  to: 'NOTIFIED',
  cause: 'begin',
  newKeyId: null,
  outcome: null,
};

test('a request of a session is the span of a server, as long as it took', () => {
  vi.useFakeTimers({ now: 1_800_000_000_000 });
  const message = {
    gateway: 'north',
    sessionId: 's',
    requestId: 3,
    outcome: 'answered',
    durationMs: 250.5,
  } as const;
  sessions.request.publish(message);
  const [span] = collector.named('hawser.sessions.request');
  expect(span?.kind).toBe(SpanKind.SERVER);
  expect(span?.attributes).toEqual({
    'hawser.gateway': 'north',
    'hawser.session.id': 's',
    'hawser.request.id': 3,
    'hawser.outcome': 'answered',
  });
  expect(span?.status.code).toBe(SpanStatusCode.UNSET);
  expect(span && durationMsOf(span)).toBeCloseTo(250.5, 3);
  const [seconds = 0, nanos = 0] = span?.startTime ?? [];
  expect([seconds, nanos]).toEqual([1_799_999_999, 749_500_000]);
});

test('what failed says why', () => {
  const request = { gateway: 'north', sessionId: 's', requestId: 3, durationMs: 1 } as const;
  sessions.request.publish({ ...request, outcome: 'HandlerFailed' });
  sessions.query.publish({ gateway: 'north', sessionId: 's', outcome: 'StoreUnavailable', durationMs: 1 });
  interaction.request.publish({ operation: 'invoke', status: 'TIMEOUT', durationMs: 1 });
  gateway.reload.publish({ gateway: 'north', report: null, error: 'limits.maxPeers', durationMs: 1 });
  const sessionEnd = {
    agent: 'a',
    module: 'm',
    mode: 'FULL',
    size: 1,
    applied: 0,
    rejected: 0,
    durationMs: 1,
  } as const;
  sync.end.publish({ ...sessionEnd, status: 'Error', reason: 'TooManyItems' });
  sync.end.publish({ ...sessionEnd, status: 'Offline', reason: 'None' });
  expect(collector.spans.map(({ name, status }) => [name, status])).toEqual([
    ['hawser.sessions.request', { code: SpanStatusCode.ERROR, message: 'HandlerFailed' }],
    ['hawser.sessions.query', { code: SpanStatusCode.ERROR, message: 'StoreUnavailable' }],
    ['hawser.interaction.invoke', { code: SpanStatusCode.ERROR, message: 'TIMEOUT' }],
    ['hawser.gateway.reload', { code: SpanStatusCode.ERROR, message: 'limits.maxPeers' }],
    ['hawser.sync.session', { code: SpanStatusCode.ERROR, message: 'TooManyItems' }],
    ['hawser.sync.session', { code: SpanStatusCode.ERROR, message: 'Offline' }],
  ]);
});

test('an answer that is no SUCCESS is an answer, and a checksum that differs a result', () => {
  interaction.request.publish({ operation: 'read', status: 'INVALID_ATTRIBUTE', durationMs: 1 });
  const end = {
    agent: 'a',
    module: 'm',
    mode: 'CHECK',
    size: 0,
    applied: 0,
    rejected: 0,
    durationMs: 1,
  } as const;
  sync.end.publish({ ...end, status: 'ChecksumMismatch', reason: 'None' });
  expect(collector.spans.map(({ status }) => status.code)).toEqual([0, 0]);
  expect(collector.spans.map(({ attributes }) => attributes['hawser.status'])).toEqual([
    'INVALID_ATTRIBUTE',
    'ChecksumMismatch',
  ]);
});

test('a sync session has its counts', () => {
  sync.end.publish({
    agent: '7',
    module: 'files',
    mode: 'DELTA',
    size: 10,
    applied: 9,
    rejected: 1,
    durationMs: 1500,
    status: 'Ok',
    reason: 'None',
  });
  const [span] = collector.named('hawser.sync.session');
  expect(span?.attributes).toEqual({
    'hawser.sync.agent': '7',
    'hawser.sync.module': 'files',
    'hawser.sync.mode': 'DELTA',
    'hawser.sync.items': 10,
    'hawser.sync.applied': 9,
    'hawser.sync.rejected': 1,
    'hawser.status': 'Ok',
  });
  expect(span && durationMsOf(span)).toBe(1500);
});

test('a rotation lasts from its first state to its last, which are its events; calls of the device are within', () => {
  vi.useFakeTimers({ now: 1_800_000_000_000 });
  keys.transition.publish(transition);
  vi.setSystemTime(1_800_000_000_100);
  keys.transition.publish({
    ...transition,
    from: 'NOTIFIED',
    to: 'ROTATING',
    newKeyId: 'key 9',
    cause: 'ack',
  });
  const call = {
    saeId: 'sae-1',
    peerSaeId: 'sae-2',
    persona: 'file',
    call: 'rotate',
    keyId: 'key 9',
  } as const;
  keys.device.publish({ ...call, durationMs: 40, error: undefined });
  keys.device.publish({ ...call, peerSaeId: 'sae-3', durationMs: 40, error: 'no route' });
  expect(collector.named('hawser.keys.rotation')).toEqual([]);
  vi.setSystemTime(1_800_000_000_300);
  keys.transition.publish({
    ...transition,
    from: 'ROTATING',
    to: 'IDLE',
    cause: 'done',
    outcome: 'completed',
  });
  const [rotation] = collector.named('hawser.keys.rotation');
  expect(rotation && durationMsOf(rotation)).toBe(300);
  expect(rotation?.events.map(({ name }) => name)).toEqual(['NOTIFIED', 'ROTATING', 'IDLE']);
  expect(rotation?.attributes).toEqual({
    'hawser.sae.id': 'sae-1',
    'hawser.sae.peer': 'sae-2',
    'hawser.session.id': 'session 1',
    'hawser.role': 'master',
    'hawser.epoch': 7,
    'hawser.key.new': 'key 9',
    'hawser.outcome': 'completed',
  });
  const [within, other] = collector.named('hawser.keys.device rotate');
  expect(within?.parentSpanContext?.spanId).toBe(rotation?.spanContext().spanId);
  expect(other?.parentSpanContext).toBeUndefined();
  expect(other?.status).toEqual({ code: SpanStatusCode.ERROR, message: 'no route' });
});

test('a rotation that another session of its pair replaces, or whose end nobody hears, ends without a verdict', () => {
  keys.transition.publish(transition);
  keys.transition.publish({ ...transition, sessionId: 'session 2' });
  keys.transition.publish({ ...transition, peerSaeId: 'sae-3', sessionId: 'session 3' });
  keys.transition.publish({
    ...transition,
    peerSaeId: 'sae-3',
    sessionId: 'session 3',
    outcome: 'rolled_back',
  });
  tracing[Symbol.dispose]();
  const told = collector
    .named('hawser.keys.rotation')
    .map(({ attributes, status }) => [
      attributes['hawser.session.id'],
      attributes['hawser.outcome'],
      status.code,
    ]);
  expect(told).toEqual([
    ['session 1', 'unknown', SpanStatusCode.UNSET],
    ['session 3', 'rolled_back', SpanStatusCode.ERROR],
    ['session 2', 'unknown', SpanStatusCode.UNSET],
  ]);
});

test('rotations without an end do not fill the memory: the oldest of 10,000 gives way', () => {
  for (let index = 0; index <= 10_000; ++index) {
    keys.transition.publish({ ...transition, peerSaeId: `sae ${index}`, sessionId: `session ${index}` });
  }
  const ended = collector.named('hawser.keys.rotation');
  expect(ended.map(({ attributes }) => attributes['hawser.sae.peer'])).toEqual(['sae 0']);
});

test('a request to a KME is the span of a client', () => {
  const request = {
    kme: 'https://kme.example',
    method: 'enc_keys',
    peerSaeId: 'sae-2',
    attempt: 2,
    keys: 0,
  } as const;
  kmeChannel.publish({ ...request, status: 503, durationMs: 12, code: 'ERR_HAWSER_KME_UNAVAILABLE' });
  const [span] = collector.named('hawser.keys.kme enc_keys');
  expect(span?.kind).toBe(SpanKind.CLIENT);
  expect(span?.status).toEqual({ code: SpanStatusCode.ERROR, message: 'ERR_HAWSER_KME_UNAVAILABLE' });
  expect(span?.attributes).toMatchObject({
    'http.response.status_code': 503,
    'http.request.resend_count': 1,
  });
});

test('reloads and drains are spans with what they did', () => {
  const report = { keyIds: [1], changed: ['limits.maxPeers', 'keys'], needRestart: ['listeners'] };
  gateway.reload.publish({ gateway: 'north', report, error: null, durationMs: 5 });
  gateway.drain.publish({ gateway: 'north', peersBefore: 100, peersLeft: 2, durationMs: 10_000 });
  expect(collector.spans.map(({ attributes }) => attributes)).toEqual([
    {
      'hawser.gateway': 'north',
      'hawser.reload.changed': 'limits.maxPeers keys',
      'hawser.reload.need_restart': 'listeners',
    },
    { 'hawser.gateway': 'north', 'hawser.peers.before': 100, 'hawser.peers.left': 2 },
  ]);
});

test('whatever else is under way in the process is not the parent of a span', () => {
  const outer = trace.getTracer('application').startSpan('outer');
  context.with(trace.setSpan(context.active(), outer), () => {
    interaction.request.publish({ operation: 'read', status: 'SUCCESS', durationMs: 1 });
  });
  expect(collector.named('hawser.interaction.read')[0]?.parentSpanContext).toBeUndefined();
});

test('the requests of a session server are traced as they are', async () => {
  const world = new World();
  const gateway = await world.gateway('north', { onRequest: () => ({ result: new Uint8Array(1) }) });
  const peer = await gateway.session('first');
  peer.request(1);
  await world.settle();
  expect(collector.named('hawser.sessions.request').map(({ attributes }) => attributes)).toEqual([
    expect.objectContaining({
      'hawser.gateway': 'north',
      'hawser.request.id': 1,
      'hawser.outcome': 'answered',
    }),
  ]);
});

test('connections of peers are spans when that is wanted', async () => {
  const world = new SimulatedWorld();
  const server = await world.listen();
  const connectAndLeave = async (): Promise<void> => {
    const connection = await world.connect(await world.token(server));
    await world.settle();
    await world.until(connection.close(0x1_0000, 'done'));
    await world.settle();
  };
  await connectAndLeave();
  expect(collector.spans).toEqual([]);
  expect(transport.peerConnect.hasSubscribers).toBe(false);
  await begin({ connections: true });
  await connectAndLeave();
  expect(collector.spans.map(({ name, attributes }) => [name, attributes])).toEqual([
    [
      'hawser.transport.connection',
      expect.objectContaining({
        'server.address': server.address,
        'hawser.result': 'disconnected',
        'hawser.disconnect.code': 0x1_0000,
      }),
    ],
  ]);
  await world.close();
});

test('interactions are left out when that is wanted; nothing is heard when it is over', async () => {
  await begin({ interaction: false });
  expect(interaction.request.hasSubscribers).toBe(false);
  expect(keys.transition.hasSubscribers).toBe(true);
  tracing[Symbol.dispose]();
  const all = [...Object.values(keys), ...Object.values(sessions), ...Object.values(sync), kmeChannel];
  expect(all.some(({ hasSubscribers }) => hasSubscribers)).toBe(false);
});

test('options that are none are refused', async () => {
  const given = { connections: 1 } as unknown as TraceOptions;
  await expect(traceHawser(given)).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
  const unknown = { conections: true } as TraceOptions;
  await expect(traceHawser(unknown)).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
});
