// Requests and queries: sent, sent again, answered once.

import { describe, expect, test } from 'vitest';
import { SessionUserError } from '../../../src/sessions/client/session-errors.js';
import type { RequestErrorReason } from '../../../src/sessions/wire/messages.js';
import { codeOf, world } from './client-world.js';
import { bytesOf, type ScriptedGateway, type ScriptedLink, textOf } from './scripted-gateways.js';

const swallow = (gateway: ScriptedGateway, ...types: string[]): void => {
  gateway.script = (message) => types.includes(message.type);
};

function refusal(
  link: ScriptedLink,
  requestId: number,
  reason: RequestErrorReason,
  retryAfterMs = 0,
  error = '',
): void {
  link.send({ type: 'RequestError', requestId, reason, error: bytesOf(error), retryAfterMs });
}

describe('requests', () => {
  test('have ids from 1, and what the client still waits for', async () => {
    const { client, a, connect, pass, watch } = world();
    await connect();
    const results = ['x', 'y', 'z'].map((text) => watch(client.request(bytesOf(text))));
    await pass(100);
    expect(results.map(({ value }) => textOf(value as Uint8Array))).toEqual(['did x', 'did y', 'did z']);
    expect(a.all('ClientRequest')).toMatchObject([
      { requestId: 1, lowestPendingRequestId: 1, createdAt: 200 },
      { requestId: 2, lowestPendingRequestId: 1 },
      { requestId: 3, lowestPendingRequestId: 1 },
    ]);
    expect(client.stats).toMatchObject({ requestsSent: 3, requestsResent: 0, pending: 0 });
  });

  test('case 14: those that are made while connecting are sent once connected, all of them and in their order', async () => {
    const { client, a, pass, watch } = world();
    const connected = watch(client.connect());
    const calls = Array.from({ length: 50 }, (_, n) => watch(client.request(bytesOf(`${n}`))));
    const query = watch(client.query(bytesOf('q')));
    await pass(200);
    expect(connected.state).toBe('resolved');
    expect(calls.every(({ state }) => state === 'resolved')).toBe(true);
    expect(query.state).toBe('resolved');
    expect(a.all('ClientRequest').map(({ requestId }) => requestId)).toEqual(
      Array.from({ length: 50 }, (_, n) => n + 1),
    );
  });

  test('case 14: those that are made while reconnecting wait for the connection', async () => {
    const { client, cluster, a, b, c, connect, pass, watch } = world();
    await connect();
    for (const gateway of [a, b, c]) gateway.kill();
    await pass(100);
    expect(client.state).toBe('ConnectingExistingSession');
    const request = watch(client.request(bytesOf('x')));
    await pass(20_000);
    expect(request.state).toBeUndefined();
    c.isUp = true;
    await pass(60_000);
    expect(textOf(request.value as Uint8Array)).toBe('did x');
    expect(cluster.sessions.get('session-1')?.executed).toEqual(['x']);
  });

  test('case 15: are sent again after requestResendMs with the same id, for as long as it takes', async () => {
    const { client, a, connect, pass, watch } = world();
    await connect();
    swallow(a, 'ClientRequest');
    const request = watch(client.request(bytesOf('x')));
    await pass(35_000);
    expect(a.times('ClientRequest').map((ms) => ms - 210)).toEqual([0, 10_000, 20_000, 30_000]);
    expect(new Set(a.all('ClientRequest').map(({ requestId }) => requestId))).toEqual(new Set([1]));
    a.script = undefined;
    await pass(10_000);
    expect(request.state).toBe('resolved');
    expect(client.stats).toMatchObject({ requestsSent: 1, requestsResent: 4 });
    const { length } = a.all('ClientRequest');
    await pass(60_000);
    expect(a.all('ClientRequest')).toHaveLength(length);
  });

  test('case 15: are sent again when the connection was made anew, each carried out once', async () => {
    const { client, cluster, a, b, connect, pass, watch } = world();
    await connect();
    await pass(20_000);
    const loseAnswers = (gateway: ScriptedGateway): void => {
      gateway.script = (message, link) => {
        if (message.type !== 'ClientRequest') return false;
        const session = cluster.sessions.get(link.sessionId ?? '');
        session?.executed.push(textOf(message.payload));
        session?.results.set(message.requestId, bytesOf('kept'));
        return true;
      };
    };
    loseAnswers(a);
    const calls = ['x', 'y'].map((text) => watch(client.request(bytesOf(text))));
    await pass(100);
    a.link.cut();
    const later = watch(client.request(bytesOf('z')));
    await pass(100);
    expect(calls.map(({ value }) => textOf(value as Uint8Array))).toEqual(['kept', 'kept']);
    expect(textOf(later.value as Uint8Array)).toBe('did z');
    expect(cluster.sessions.get('session-1')?.executed).toEqual(['x', 'y', 'z']);
    expect(b.all('ClientRequest').map(({ requestId }) => requestId)).toEqual([1, 2, 3]);
  });

  test('case 15: that are under way at the same time are answered each by its own id, in any order', async () => {
    const { client, a, connect, pass, watch } = world();
    await connect();
    swallow(a, 'ClientRequest');
    const calls = Array.from({ length: 10 }, (_, n) => watch(client.request(bytesOf(`${n}`))));
    await pass(100);
    for (const requestId of [7, 3, 10, 1, 2, 9, 4, 8, 6, 5]) {
      a.link.send({ type: 'ClientResponse', requestId, result: bytesOf(`result ${requestId}`) });
    }
    await pass(100);
    expect(calls.map(({ value }) => textOf(value as Uint8Array))).toEqual(
      Array.from({ length: 10 }, (_, n) => `result ${n + 1}`),
    );
  });

  test('case 16: say the lowest id that is pending, also when they are sent again', async () => {
    const { client, a, connect, pass, watch, b } = world();
    await connect();
    await pass(20_000);
    swallow(a, 'ClientRequest');
    for (const text of ['1', '2', '3']) watch(client.request(bytesOf(text)));
    await pass(100);
    a.link.send({ type: 'ClientResponse', requestId: 1, result: bytesOf('') });
    await pass(100);
    // As the one that is new sees it.
    watch(client.request(bytesOf('4')));
    await pass(100);
    expect(a.all('ClientRequest').at(-1)).toMatchObject({ requestId: 4, lowestPendingRequestId: 2 });
    // As those that are sent again see it.
    await pass(10_000);
    expect(a.all('ClientRequest').slice(4)).toMatchObject([
      { requestId: 2, lowestPendingRequestId: 2 },
      { requestId: 3, lowestPendingRequestId: 2 },
      { requestId: 4, lowestPendingRequestId: 2 },
    ]);
    a.link.send({ type: 'ClientResponse', requestId: 2, result: bytesOf('') });
    await pass(100);
    a.link.cut();
    await pass(100);
    expect(b.all('ClientRequest')).toMatchObject([
      { requestId: 3, lowestPendingRequestId: 3 },
      { requestId: 4, lowestPendingRequestId: 3 },
    ]);
    // Its own, when there is no other.
    await pass(100);
    watch(client.request(bytesOf('5')));
    await pass(100);
    expect(b.all('ClientRequest').at(-1)).toMatchObject({ requestId: 5, lowestPendingRequestId: 5 });
  });

  test('are bounded together with queries, and beyond that refused', async () => {
    const { client, a, connect, pass, watch } = world({ maxPending: 3 });
    await connect();
    swallow(a, 'ClientRequest', 'Query');
    watch(client.request(bytesOf('1')));
    watch(client.query(bytesOf('2')));
    watch(client.request(bytesOf('3')));
    await expect(client.request(bytesOf('4'))).rejects.toMatchObject({ code: 'ERR_HAWSER_QUEUE_FULL' });
    await expect(client.query(bytesOf('4'))).rejects.toMatchObject({ code: 'ERR_HAWSER_QUEUE_FULL' });
    expect(client.stats.pending).toBe(3);
    await pass(50);
    a.link.send({ type: 'ClientResponse', requestId: 1, result: bytesOf('') });
    await pass(50);
    watch(client.request(bytesOf('4')));
    expect(client.stats.pending).toBe(3);
  });

  test('keep what was asked, whatever becomes of the memory that it was in', async () => {
    const { client, cluster, connect, pass, watch } = world();
    await connect();
    const memory = bytesOf('before');
    const request = watch(client.request(memory));
    memory.fill(0);
    await pass(100);
    expect(cluster.sessions.get('session-1')?.executed).toEqual(['before']);
    expect(textOf(request.value as Uint8Array)).toBe('did before');
  });

  test.each([[1], ['x'], [undefined], [new Uint8Array(1_048_577)]])('of %s are refused', async (payload) => {
    const { client, connect } = world();
    await connect();
    await expect(client.request(payload as Uint8Array)).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
    });
    expect(client.stats.pending).toBe(0);
  });

  test('are refused without a connection that is made', async () => {
    const { client } = world();
    await expect(client.request(bytesOf('x'))).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
    await expect(client.query(bytesOf('x'))).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
  });

  test('that no channel takes are rejected with what it says, and hold nothing up', async () => {
    const { client, a, connect, pass, watch } = world();
    await connect();
    const { client: end } = a.link;
    const send = end.send.bind(end);
    const { HawserError } = await import('../../../src/base/errors.js');
    end.send = (message) => {
      if (message.length > 1000) throw new HawserError('ERR_HAWSER_MESSAGE_TOO_LONG', 'too long');
      return send(message);
    };
    const long = watch(client.request(new Uint8Array(2000)));
    const short = watch(client.request(bytesOf('x')));
    await pass(100);
    expect(codeOf(long.value)).toBe('ERR_HAWSER_MESSAGE_TOO_LONG');
    expect(short.state).toBe('resolved');
  });

  test('wait for room when the connection has none, in their order', async () => {
    const { client, a, connect, pass, watch } = world();
    await connect();
    const { client: end } = a.link;
    end.room = 'full';
    const calls = ['1', '2', '3'].map((text) => watch(client.request(bytesOf(text))));
    await pass(100);
    // The first was taken; the connection said to wait.
    expect(a.all('ClientRequest').map(({ requestId }) => requestId)).toEqual([1]);
    end.room = 'refused';
    end.receiver?.drained();
    await pass(100);
    expect(a.all('ClientRequest')).toHaveLength(1);
    end.room = 'free';
    end.receiver?.drained();
    await pass(100);
    expect(a.all('ClientRequest').map(({ requestId }) => requestId)).toEqual([1, 2, 3]);
    expect(calls.every(({ state }) => state === 'resolved')).toBe(true);
  });
});

describe('a connection without room', () => {
  test('that never says that it has some is asked again after a second', async () => {
    const { client, a, connect, pass, watch, time } = world();
    await connect();
    a.link.client.room = 'refused';
    const request = watch(client.request(bytesOf('x')));
    await pass(2500);
    expect(a.all('ClientRequest')).toEqual([]);
    a.link.client.room = 'free';
    await pass(1000);
    expect(request.state).toBe('resolved');
    a.link.client.room = 'refused';
    watch(client.request(bytesOf('y')));
    watch(client.close({ keepSession: true }));
    await pass(0);
    expect(time.wheel.size).toBe(0);
  });
});

describe('refusals', () => {
  test('a user error rejects with what the application answered', async () => {
    const { client, a, connect, pass, watch } = world();
    await connect();
    swallow(a, 'ClientRequest');
    const request = watch(client.request(bytesOf('x')));
    await pass(50);
    refusal(a.link, 1, 'UserError', 0, 'not enough');
    await pass(50);
    expect(request.value).toBeInstanceOf(SessionUserError);
    expect(codeOf(request.value)).toBe('ERR_HAWSER_USER_ERROR');
    expect(textOf((request.value as SessionUserError).error)).toBe('not enough');
    expect(client.state).toBe('Connected');
  });

  test.each([
    ['HandlerFailed', 'ERR_HAWSER_HANDLER'],
    ['PayloadTooLong', 'ERR_HAWSER_MESSAGE_TOO_LONG'],
  ] as const)('%s rejects with %s', async (reason, code) => {
    const { client, a, connect, pass, watch } = world();
    await connect();
    swallow(a, 'ClientRequest', 'Query');
    const request = watch(client.request(bytesOf('x')));
    const query = watch(client.query(bytesOf('x')));
    await pass(50);
    refusal(a.link, 1, reason);
    const [{ correlationId } = { correlationId: '' }] = a.all('Query');
    a.link.send({ type: 'QueryError', correlationId, reason, error: bytesOf(''), retryAfterMs: 0 });
    await pass(50);
    expect(codeOf(request.value)).toBe(code);
    expect(codeOf(query.value)).toBe(code);
    expect(client.stats.pending).toBe(0);
  });

  test.each(['StoreUnavailable', 'TooManyRequests'] as const)(
    '%s: the same id is sent again after the time that the server says',
    async (reason) => {
      const { client, a, connect, pass, watch, time } = world();
      await connect();
      const times: number[] = [];
      a.script = (message, link) => {
        if (message.type !== 'ClientRequest') return false;
        times.push(time.nowMs);
        if (times.length < 4) refusal(link, message.requestId, reason, 700);
        return times.length < 4;
      };
      const request = watch(client.request(bytesOf('x')));
      await pass(5000);
      expect(times.map((ms) => ms - (times[0] ?? 0))).toEqual([0, 720, 1440, 2160]);
      expect(request.state).toBe('resolved');
      expect(new Set(a.all('ClientRequest').map(({ requestId }) => requestId))).toEqual(new Set([1]));
    },
  );

  test('a server that wants to be asked again at once is not asked in every round trip', async () => {
    const { client, a, connect, pass, watch, cluster } = world();
    await connect();
    cluster.delayMs = 0;
    a.script = (message, link) => {
      if (message.type === 'ClientRequest') refusal(link, message.requestId, 'StoreUnavailable', 0);
      return message.type === 'ClientRequest';
    };
    watch(client.request(bytesOf('x')));
    await pass(1000);
    expect(a.all('ClientRequest').length).toBeLessThanOrEqual(11);
  });

  test('a server that never wants to be asked again is asked again after a minute', async () => {
    const { client, a, connect, pass, watch, time } = world();
    await connect();
    const times: number[] = [];
    a.script = (message, link) => {
      if (message.type !== 'ClientRequest') return false;
      times.push(time.nowMs);
      if (times.length === 1) refusal(link, message.requestId, 'StoreUnavailable', 2 ** 32 - 1);
      return times.length === 1;
    };
    const request = watch(client.request(bytesOf('x')));
    await pass(61_000);
    expect(times.map((ms) => ms - (times[0] ?? 0))).toEqual([0, 60_020]);
    expect(request.state).toBe('resolved');
  });

  test('case 8: ResponseEvicted of a pending request is the end of the session', async () => {
    const { client, cluster, a, connect, pass, watch, events } = world();
    await connect();
    swallow(a, 'ClientRequest', 'Query');
    const evicted = watch(client.request(bytesOf('x')));
    const others = [watch(client.request(bytesOf('y'))), watch(client.query(bytesOf('z')))];
    await pass(50);
    refusal(a.link, 1, 'ResponseEvicted');
    await pass(60_000);
    expect(codeOf(evicted.value)).toBe('ERR_HAWSER_RESPONSE_EVICTED');
    expect(others.map(({ value }) => codeOf(value))).toEqual([
      'ERR_HAWSER_SESSION_EXPIRED',
      'ERR_HAWSER_SESSION_EXPIRED',
    ]);
    expect(client.state).toBe('Expired');
    expect(events.at(-1)).toEqual(['expired', 'ERR_HAWSER_RESPONSE_EVICTED']);
    // The server need not keep it until it expires.
    expect(a.all('CloseSession')).toHaveLength(1);
    expect(cluster.attempts).toHaveLength(1);
    expect(cluster.links).toHaveLength(0);
  });

  test('case 8: ResponseEvicted of one that is not pending is ignored', async () => {
    const { client, a, connect, pass, watch } = world();
    await connect();
    const done = watch(client.request(bytesOf('x')));
    await pass(50);
    expect(done.state).toBe('resolved');
    for (const requestId of [0, 1, 2, 99]) refusal(a.link, requestId, 'ResponseEvicted');
    await pass(50);
    expect(client.state).toBe('Connected');
  });

  test('case 8: nor does one that was given up end the session', async () => {
    const { client, a, connect, pass, watch } = world();
    await connect();
    swallow(a, 'ClientRequest');
    const controller = new AbortController();
    watch(client.request(bytesOf('x'), { signal: controller.signal }));
    await pass(50);
    controller.abort();
    refusal(a.link, 1, 'ResponseEvicted');
    await pass(50);
    expect(client.state).toBe('Connected');
    expect(client.stats.pending).toBe(0);
  });
});

describe('giving up', () => {
  test('a request that was not sent is gone', async () => {
    const { client, a, pass, watch } = world();
    const connected = watch(client.connect());
    const controller = new AbortController();
    const first = watch(client.request(bytesOf('x'), { signal: controller.signal }));
    const second = watch(client.request(bytesOf('y')));
    controller.abort('enough');
    expect(client.stats.pending).toBe(1);
    await pass(200);
    expect(connected.state).toBe('resolved');
    expect(first.value).toMatchObject({ code: 'ERR_HAWSER_ABORTED', cause: 'enough' });
    expect(second.state).toBe('resolved');
    expect(a.all('ClientRequest')).toMatchObject([{ requestId: 2, lowestPendingRequestId: 2 }]);
  });

  test('a request that was sent counts as pending until it is answered', async () => {
    const { client, a, connect, pass, watch } = world();
    await connect();
    swallow(a, 'ClientRequest');
    const controller = new AbortController();
    const first = watch(client.request(bytesOf('x'), { signal: controller.signal }));
    await pass(50);
    controller.abort();
    await pass(0);
    expect(codeOf(first.value)).toBe('ERR_HAWSER_ABORTED');
    watch(client.request(bytesOf('y')));
    await pass(50);
    expect(a.all('ClientRequest').at(-1)).toMatchObject({ requestId: 2, lowestPendingRequestId: 1 });
    a.link.send({ type: 'ClientResponse', requestId: 1, result: bytesOf('') });
    await pass(50);
    watch(client.request(bytesOf('z')));
    await pass(50);
    expect(a.all('ClientRequest').at(-1)).toMatchObject({ requestId: 3, lowestPendingRequestId: 2 });
  });

  test.each(['the time to send it again', 'a lost connection', 'a refusal'] as const)(
    'a request that was sent and given up is not sent again: after %s it is forgotten',
    async (what) => {
      const { client, a, connect, pass, watch } = world();
      await connect();
      await pass(20_000);
      swallow(a, 'ClientRequest');
      const controller = new AbortController();
      watch(client.request(bytesOf('x'), { signal: controller.signal }));
      await pass(50);
      controller.abort();
      expect(client.stats.pending).toBe(1);
      if (what === 'a refusal') refusal(a.link, 1, 'StoreUnavailable', 100);
      if (what === 'a lost connection') a.link.cut();
      await pass(what === 'the time to send it again' ? 10_000 : 50);
      expect(client.stats.pending).toBe(0);
      await pass(100_000);
      expect(client.stats.requestsResent).toBe(0);
    },
  );

  test('a signal that is aborted before leaves no trace', async () => {
    const { client, connect, a, pass } = world();
    await connect();
    const signal = AbortSignal.abort();
    await expect(client.request(bytesOf('x'), { signal })).rejects.toMatchObject({
      code: 'ERR_HAWSER_ABORTED',
    });
    await expect(client.query(bytesOf('x'), { signal })).rejects.toMatchObject({
      code: 'ERR_HAWSER_ABORTED',
    });
    await pass(50);
    expect(client.stats.pending).toBe(0);
    expect(a.all('ClientRequest')).toEqual([]);
    await expect(client.request(bytesOf('x'), { signal: 1 } as never)).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
    });
  });

  test('a signal is listened to no longer than the call lasts', async () => {
    const { client, connect, pass, watch } = world();
    await connect();
    const controller = new AbortController();
    let listeners = 0;
    const { signal } = controller;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...call: Parameters<typeof add>): void => {
      ++listeners;
      add(...call);
    };
    signal.removeEventListener = (...call: Parameters<typeof remove>): void => {
      --listeners;
      remove(...call);
    };
    const calls = [client.request(bytesOf('x'), { signal }), client.query(bytesOf('x'), { signal })].map(
      watch,
    );
    expect(listeners).toBe(2);
    await pass(100);
    expect(calls.every(({ state }) => state === 'resolved')).toBe(true);
    expect(listeners).toBe(0);
  });
});

describe('queries', () => {
  test('case 11: are sent once and answered by their correlation id', async () => {
    const { client, a, connect, pass, watch } = world();
    await connect();
    const calls = ['x', 'y'].map((text) => watch(client.query(bytesOf(text))));
    await pass(60_000);
    expect(calls.map(({ value }) => textOf(value as Uint8Array))).toEqual(['of x', 'of y']);
    expect(a.all('Query')).toHaveLength(2);
    expect(new Set(a.all('Query').map(({ correlationId }) => correlationId)).size).toBe(2);
  });

  test('case 11: are sent again after a while and on another connection, and complete once', async () => {
    const { client, a, b, connect, pass, watch } = world();
    await connect();
    await pass(20_000);
    swallow(a, 'Query');
    const query = watch(client.query(bytesOf('x')));
    await pass(10_100);
    expect(a.all('Query')).toHaveLength(2);
    a.link.cut();
    await pass(100);
    expect(b.all('Query')).toHaveLength(1);
    expect(textOf(query.value as Uint8Array)).toBe('of x');
    const ids = [...a.all('Query'), ...b.all('Query')].map(({ correlationId }) => correlationId);
    expect(new Set(ids).size).toBe(1);
    b.link.send({ type: 'QueryResponse', correlationId: ids[0] ?? '', result: bytesOf('again') });
    await pass(100);
    expect(textOf(query.value as Uint8Array)).toBe('of x');
    expect(client.stats.pending).toBe(0);
  });

  test('case 11: that are refused for now are sent again', async () => {
    const { client, a, connect, pass, watch } = world();
    await connect();
    let refused = 0;
    a.script = (message, link) => {
      if (message.type !== 'Query' || ++refused > 2) return false;
      const { correlationId } = message;
      const error = bytesOf('');
      link.send({ type: 'QueryError', correlationId, reason: 'StoreUnavailable', error, retryAfterMs: 500 });
      return true;
    };
    const query = watch(client.query(bytesOf('x')));
    await pass(1000);
    expect(query.state).toBeUndefined();
    await pass(1000);
    expect(query.state).toBe('resolved');
  });
});

describe('at most once', () => {
  test('a request is not sent again, and is rejected when its connection is lost', async () => {
    const { client, cluster, a, connect, pass, watch } = world({ delivery: 'at-most-once' });
    await connect();
    await pass(20_000);
    swallow(a, 'ClientRequest', 'Query');
    const request = watch(client.request(bytesOf('x')));
    const query = watch(client.query(bytesOf('q')));
    await pass(60_000);
    expect(a.all('ClientRequest')).toHaveLength(1);
    a.link.cut();
    const unsent = watch(client.request(bytesOf('y')));
    await pass(100);
    expect(codeOf(request.value)).toBe('ERR_HAWSER_CONNECTION_LOST');
    // What was not sent, and what changes nothing, goes over the next connection.
    expect(unsent.state).toBe('resolved');
    expect(query.state).toBe('resolved');
    expect(cluster.sessions.get('session-1')?.executed).toEqual(['y']);
  });

  test('one that was refused for now was not carried out, and is sent again', async () => {
    const { client, a, b, connect, pass, watch } = world({ delivery: 'at-most-once' });
    await connect();
    await pass(20_000);
    a.script = (message, link) => {
      if (message.type === 'ClientRequest') refusal(link, message.requestId, 'TooManyRequests', 60_000);
      return message.type === 'ClientRequest';
    };
    const request = watch(client.request(bytesOf('x')));
    await pass(100);
    a.link.cut();
    await pass(100);
    expect(request.state).toBe('resolved');
    expect(b.all('ClientRequest')).toMatchObject([{ requestId: 1, lowestPendingRequestId: 1 }]);
  });

  test('ResponseEvicted ends that request only', async () => {
    const { client, a, connect, pass, watch } = world({ delivery: 'at-most-once' });
    await connect();
    swallow(a, 'ClientRequest');
    const request = watch(client.request(bytesOf('x')));
    await pass(50);
    refusal(a.link, 1, 'ResponseEvicted');
    await pass(50);
    expect(codeOf(request.value)).toBe('ERR_HAWSER_RESPONSE_EVICTED');
    expect(client.state).toBe('Connected');
  });
});

describe('open questions of the source', () => {
  test('case 29: a client that sends again sooner than the server is done hears one answer', async () => {
    const { client, cluster, a, connect, pass, watch } = world({ requestResendMs: 1000 });
    await connect();
    a.script = (message, link) => {
      if (message.type !== 'ClientRequest') return false;
      cluster.time.clock.setTimeout(() => cluster.serve(message, link, 'reliable'), 5500);
      return true;
    };
    const request = watch(client.request(bytesOf('x')));
    await pass(5000);
    expect(request.state).toBeUndefined();
    // Another one, while the answers to the copies of the first still come.
    const next = watch(client.request(bytesOf('y')));
    await pass(20_000);
    expect(textOf(request.value as Uint8Array)).toBe('did x');
    expect(textOf(next.value as Uint8Array)).toBe('did y');
    expect(a.all('ClientRequest').length).toBeGreaterThan(8);
    expect(cluster.sessions.get('session-1')?.executed).toEqual(['x', 'y']);
  });

  test('case 29: an answer of the connection that was lost is not heard, nor needed', async () => {
    const { client, cluster, a, b, connect, pass, watch } = world();
    await connect();
    await pass(20_000);
    const { link } = a;
    a.script = (message) => message.type === 'ClientRequest';
    const request = watch(client.request(bytesOf('x')));
    await pass(100);
    link.client.close();
    link.client.receiver?.closed(undefined);
    link.client.receiver?.message(bytesOf('late'));
    await pass(600);
    expect(textOf(request.value as Uint8Array)).toBe('did x');
    expect(b.all('ClientRequest')).toHaveLength(1);
    expect(cluster.sessions.get('session-1')?.executed).toEqual(['x']);
    expect(client.stats.undecodable).toBe(0);
  });

  test('case 29: during an election the client keeps trying, and goes on with its session', async () => {
    const { client, cluster, a, b, c, connect, pass, watch } = world();
    await connect();
    await pass(20_000);
    for (const gateway of [a, b, c]) {
      gateway.script = (message, link) => {
        if (message.type === 'KeepAlive') {
          link.send({ type: 'SessionClosed', reason: 'NotLeaderAnymore', leaderId: undefined });
          return true;
        }
        if (message.type !== 'ContinueSession') return false;
        link.send({
          type: 'SessionRejected',
          reason: 'NotLeader',
          nonce: message.nonce,
          leaderId: undefined,
        });
        return true;
      };
    }
    // The KeepAlive is answered with SessionClosed.
    await pass(15_000);
    const request = watch(client.request(bytesOf('x')));
    expect(client.state).toBe('ConnectingExistingSession');
    expect(cluster.attempts.length).toBeLessThan(30);
    c.script = undefined;
    await pass(40_000);
    expect(client.state).toBe('Connected');
    expect(client.sessionId).toBe('session-1');
    expect(request.state).toBe('resolved');
  });

  test('case 29: a server whose store has no majority says so, and the request is carried out once it has', async () => {
    const { client, cluster, a, connect, pass, watch } = world();
    await connect();
    a.script = (message, link) => {
      if (message.type === 'ClientRequest') refusal(link, message.requestId, 'StoreUnavailable', 500);
      return message.type === 'ClientRequest';
    };
    const calls = ['x', 'y'].map((text) => watch(client.request(bytesOf(text))));
    await pass(60_000);
    expect(calls.every(({ state }) => state === undefined)).toBe(true);
    expect(client.state).toBe('Connected');
    a.script = undefined;
    await pass(1000);
    expect(calls.every(({ state }) => state === 'resolved')).toBe(true);
    expect(cluster.sessions.get('session-1')?.executed).toEqual(['x', 'y']);
  });

  test('case 29: a client whose interval is longer than the timeout of its server hears that it has expired', async () => {
    const { client, cluster, a, connect, pass, watch } = world({ intervals: { idleMs: 120_000 } });
    await connect();
    cluster.time.clock.setTimeout(() => {
      cluster.sessions.clear();
      a.link.send({ type: 'SessionClosed', reason: 'SessionExpired', leaderId: undefined });
    }, 90_000);
    await pass(100_000);
    expect(client.state).toBe('Expired');
    const again = watch(client.connect());
    await pass(200);
    expect(again.state).toBe('resolved');
  });
});
