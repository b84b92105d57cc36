// How a client comes to its session, keeps it, and ends it.

import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import type { SessionClientOptions } from '../../../src/sessions/client/options.js';
import { SessionClient } from '../../../src/sessions/client/session-client.js';
import type { ClientMessage, ServerMessage } from '../../../src/sessions/wire/messages.js';
import { codeOf, type Outcome, world } from './client-world.js';
import { bytesOf, type ScriptedLink, textOf } from './scripted-gateways.js';

/** Refuses whoever asks for a session. */
function refuse(
  reason: Extract<ServerMessage, { readonly type: 'SessionRejected' }>['reason'],
  leaderId?: string,
): (message: ClientMessage, link: ScriptedLink) => boolean {
  return (message, link) => {
    if (message.type !== 'CreateSession' && message.type !== 'ContinueSession') return false;
    link.send({ type: 'SessionRejected', reason, nonce: message.nonce, leaderId });
    return true;
  };
}

describe('connecting', () => {
  test('case 12: connect sends Create, and SessionCreated makes it Connected', async () => {
    const { client, events, states, a, pass, watch } = world();
    expect(client.state).toBe('Disconnected');
    const connected = watch(client.connect());
    expect(client.state).toBe('ConnectingNewSession');
    await pass(100);
    expect(connected.state).toBe('resolved');
    expect(states).toEqual(['Disconnected', 'ConnectingNewSession', 'Connected']);
    expect(events.at(-1)).toEqual(['connected', 'session-1', false]);
    expect(client.sessionId).toBe('session-1');
    const [create] = a.all('CreateSession');
    expect([...(create?.capabilities ?? [])]).toEqual([['hawser', '1']]);
    expect(create?.nonce).not.toBe(0n);
  });

  test('case 12: Created, Continued and Rejected with another nonce are ignored', async () => {
    const { client, a, pass, watch, connect } = world();
    const wrong = (message: ClientMessage, link: ScriptedLink): boolean => {
      if (!('nonce' in message)) return false;
      const nonce = message.nonce + 1n === 0n ? 1n : message.nonce + 1n;
      link.send({ type: 'SessionCreated', sessionId: 'not-this', nonce });
      link.send({ type: 'SessionContinued', nonce });
      link.send({ type: 'SessionRejected', reason: 'SessionExpired', nonce, leaderId: undefined });
      link.send({ type: 'SessionRejected', reason: 'InvalidCapabilities', nonce, leaderId: undefined });
      return false;
    };
    a.script = wrong;
    await connect();
    expect(client.sessionId).toBe('session-1');
    await pass(20_000);
    a.link.cut();
    await pass(100);
    expect(client.state).toBe('Connected');
    expect(client.sessionId).toBe('session-1');
    const query = watch(client.query(bytesOf('x')));
    await pass(100);
    expect(query.state).toBe('resolved');
  });

  test('case 12: an answer of the other kind is none', async () => {
    const { client, a, pass, close } = world();
    a.script = (message, link) => {
      if (message.type !== 'CreateSession') return false;
      link.send({ type: 'SessionContinued', nonce: message.nonce });
      return true;
    };
    const connected = client.connect();
    connected.catch(() => undefined);
    await pass(1000);
    expect(client.state).toBe('ConnectingNewSession');
    await close();
  });

  test('case 12: SessionCreated is no answer to Continue', async () => {
    const { client, a, b, connect, pass } = world();
    await connect();
    await pass(20_000);
    b.script = (message, link) => {
      if (message.type !== 'ContinueSession') return false;
      link.send({ type: 'SessionCreated', sessionId: 'another', nonce: message.nonce });
      return true;
    };
    a.link.cut();
    await pass(4000);
    expect(client.state).toBe('ConnectingExistingSession');
    await pass(10_000);
    expect(client.sessionId).toBe('session-1');
    expect(client.state).toBe('Connected');
  });

  test('SessionClosed instead of an answer is a refusal: its hint is followed', async () => {
    const { client, cluster, a, b, c, pass, watch } = world();
    const close =
      (reason: 'NotLeaderAnymore' | 'Shutdown', leaderId?: string) =>
      (message: ClientMessage, link: ScriptedLink) => {
        link.send({ type: 'SessionClosed', reason, leaderId });
        return message.type === 'CreateSession';
      };
    a.script = close('NotLeaderAnymore', 'c:1');
    c.script = close('Shutdown');
    const connected = watch(client.connect());
    await pass(400);
    expect(cluster.attempts.map(({ address }) => address)).toEqual(['a:1', 'c:1']);
    a.script = undefined;
    await pass(1000);
    expect(connected.state).toBe('resolved');
    expect(cluster.attempts.map(({ address }) => address)).toEqual(['a:1', 'c:1', 'a:1']);
    expect(b.links).toEqual([]);
  });

  test('each attempt has another nonce', async () => {
    const { client, a, b, c, pass, close } = world();
    for (const gateway of [a, b, c]) gateway.script = refuse('Other');
    client.connect().catch(() => undefined);
    await pass(60_000);
    const nonces = [a, b, c].flatMap((each) => each.all('CreateSession').map(({ nonce }) => nonce));
    expect(nonces.length).toBeGreaterThan(5);
    expect(new Set(nonces).size).toBe(nonces.length);
    await close();
  });

  test('a gateway that does not answer is given up after sessionAnswerTimeoutMs, and tried last', async () => {
    const { client, cluster, a, pass, watch } = world();
    a.script = () => true;
    const connected = watch(client.connect());
    await pass(5000);
    expect(connected.state).toBeUndefined();
    await pass(1000);
    expect(connected.state).toBe('resolved');
    expect(cluster.attempts.map(({ address }) => address)).toEqual(['a:1', 'b:1']);
    expect(a.link.isOpen).toBe(false);
  });

  test('an answer that comes after it was given up does nothing', async () => {
    const { client, a, pass, cluster } = world();
    let late: (() => void) | undefined;
    a.script = (message, link) => {
      if (message.type !== 'CreateSession') return false;
      late = () => link.client.receiver?.message(bytesOf('zraft'));
      return true;
    };
    client.connect().catch(() => undefined);
    await pass(6000);
    late?.();
    expect(client.state).toBe('Connected');
    expect(client.sessionId).toBe('session-1');
    expect(cluster.links).toHaveLength(1);
  });

  test('a connector that calls attach not once is an error of whoever wrote it', async () => {
    const { time } = world();
    const client = new SessionClient({ connector: async () => undefined, wheel: time.wheel });
    await expect(client.connect()).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    expect(client.state).toBe('Disconnected');
  });

  test('is refused while it is under way or done', async () => {
    const { client, connect } = world();
    const first = connect();
    await expect(client.connect()).rejects.toMatchObject({ code: 'ERR_HAWSER_ALREADY_CONNECTED' });
    await first;
    await expect(client.connect()).rejects.toMatchObject({ code: 'ERR_HAWSER_ALREADY_CONNECTED' });
  });
});

describe('redirects', () => {
  test('case 13: NotLeader with a hint leads to the hinted gateway at once', async () => {
    const { client, cluster, a, connect, events } = world();
    a.script = refuse('NotLeader', 'c:1');
    await connect();
    expect(client.state).toBe('Connected');
    expect(cluster.attempts.map(({ address }) => address)).toEqual(['a:1', 'c:1']);
    expect(events).toContainEqual(['redirected', 'NotLeader', 'c:1']);
    expect(cluster.gateway('a:1').link.isOpen).toBe(false);
  });

  test('case 13: NotLeader without a hint leads to the next one, and after all of them to a pause', async () => {
    const { client, cluster, a, b, c, pass, events, close } = world();
    for (const gateway of [a, b, c]) gateway.script = refuse('NotLeader');
    client.connect().catch(() => undefined);
    await pass(400);
    expect(cluster.attempts.map(({ address }) => address)).toEqual(['a:1', 'b:1', 'c:1', 'a:1']);
    // Who has refused in the attempt is not asked again.
    expect(a.all('CreateSession')).toHaveLength(1);
    expect(events.at(-1)).toEqual(['reconnecting', 1, 500]);
    // In the next attempt each is asked again.
    b.script = undefined;
    await pass(500);
    expect(client.state).toBe('Connected');
    expect(cluster.attempts.map(({ address }) => address).slice(4)).toEqual(['a:1', 'b:1']);
    await close();
  });

  test('case 13: a hint that is unknown is passed over, and does not hold the client up', async () => {
    const { client, cluster, a, connect } = world();
    a.script = refuse('NotLeader', 'nowhere:1');
    await connect();
    expect(client.state).toBe('Connected');
    expect(cluster.attempts.map(({ address }) => address)).toEqual(['a:1', 'b:1']);
  });

  test('case 13: gateways that name each other are not asked in a tight loop', async () => {
    const { client, cluster, a, b, c, pass } = world();
    a.script = refuse('NotLeader', 'b:1');
    b.script = refuse('NotLeader', 'a:1');
    c.script = refuse('NotLeader', 'a:1');
    client.connect().catch(() => undefined);
    await pass(12_000);
    // 4 in each of the attempts at 0, 0.7, 1.9, 4.1 and 8.3 s; the original sends 6,623 in that time.
    expect(cluster.attempts.length).toBeLessThanOrEqual(20);
    expect(cluster.attempts.length).toBeGreaterThanOrEqual(16);
    c.script = undefined;
    await pass(60_000);
    expect(cluster.attempts.length).toBeLessThanOrEqual(40);
    a.script = undefined;
    await pass(40_000);
    expect(client.state).toBe('Connected');
  });

  test('case 13: a hint to a gateway that is gone is followed once', async () => {
    const { client, cluster, a, b, c, connect, pass } = world();
    cluster.deadMs = 50;
    b.isUp = false;
    a.script = refuse('NotLeader', 'b:1');
    await connect();
    expect(cluster.attempts.map(({ address }) => address)).toEqual(['a:1', 'c:1']);
    expect(client.state).toBe('Connected');
    await pass(20_000);
    c.link.cut();
    await pass(100);
    expect(cluster.targets.slice(0, 3).map(({ first }) => first)).toEqual([undefined, 'b:1', undefined]);
  });

  test('case 13: when the leader changes the same session is continued where the old one says', async () => {
    const { client, cluster, a, b, c, connect, pass, events, watch } = world();
    await connect();
    await pass(20_000);
    a.script = refuse('NotLeader', 'c:1');
    b.script = refuse('NotLeader', 'c:1');
    a.link.send({ type: 'SessionClosed', reason: 'NotLeaderAnymore', leaderId: 'c:1' });
    await pass(100);
    expect(client.state).toBe('Connected');
    expect(client.sessionId).toBe('session-1');
    expect(c.all('ContinueSession').map(({ sessionId }) => sessionId)).toEqual(['session-1']);
    expect(cluster.attempts.map(({ address }) => address)).toEqual(['a:1', 'c:1']);
    expect(events).toContainEqual(['redirected', 'NotLeaderAnymore', 'c:1']);
    const request = watch(client.request(bytesOf('x')));
    await pass(100);
    expect(request.state).toBe('resolved');
  });

  test.each(['NotLeaderAnymore', 'SessionError', 'Shutdown', 'ConnectionClosed'] as const)(
    'SessionClosed(%s) leads to another gateway at once, with the same session',
    async (reason) => {
      const { client, cluster, a, connect, pass, states } = world();
      await connect();
      await pass(20_000);
      a.link.send({ type: 'SessionClosed', reason, leaderId: undefined });
      await pass(100);
      expect(states.slice(-3)).toEqual(['Connected', 'ConnectingExistingSession', 'Connected']);
      expect(client.sessionId).toBe('session-1');
      expect(cluster.attempts.at(-1)?.address).toBe('b:1');
    },
  );

  test('SessionClosed again and again is no tight loop', async () => {
    const { cluster, a, b, c, connect, pass, close } = world();
    await connect();
    await pass(20_000);
    for (const gateway of [a, b, c]) {
      gateway.script = (message, link) => {
        if (message.type !== 'KeepAlive') return false;
        link.send({ type: 'SessionClosed', reason: 'SessionError', leaderId: 'a:1' });
        return true;
      };
    }
    const before = cluster.attempts.length;
    a.link.send({ type: 'SessionClosed', reason: 'SessionError', leaderId: undefined });
    await pass(30_000);
    expect(cluster.attempts.length - before).toBeLessThanOrEqual(8);
    await close();
  });
});

describe('reconnection', () => {
  test('case 20: a connection that is lost is made anew at once, and the session continued', async () => {
    const { client, a, connect, pass, events, time } = world();
    await connect();
    await pass(20_000);
    events.length = 0;
    const lostMs = time.nowMs;
    a.link.cut();
    await pass(0);
    expect(events).toEqual([
      ['stateChange', 'Connected', 'ConnectingExistingSession'],
      ['disconnected', 'ERR_HAWSER_CONNECTION_LOST'],
      ['reconnecting', 1, 0],
    ]);
    await pass(100);
    expect(client.state).toBe('Connected');
    expect(events.slice(3)).toEqual([
      ['stateChange', 'ConnectingExistingSession', 'Connected'],
      ['connected', 'session-1', true],
    ]);
    expect(time.nowMs - lostMs).toBeLessThanOrEqual(100);
  });

  test('attempts that fail follow each other with growing delays', async () => {
    const { client, cluster, a, b, c, connect, pass, events } = world();
    await connect();
    await pass(20_000);
    cluster.deadMs = 10;
    for (const gateway of [a, b, c]) gateway.kill();
    await pass(100_000);
    const delays = events.filter(([name]) => name === 'reconnecting').map(([, , delayMs]) => delayMs);
    expect(delays.slice(0, 9)).toEqual([0, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    expect(client.state).toBe('ConnectingExistingSession');
    b.isUp = true;
    await pass(31_000);
    expect(client.state).toBe('Connected');
    expect(client.sessionId).toBe('session-1');
  });

  test('case 22: failovers one after the other work', async () => {
    const { client, cluster, a, b, c, connect, pass, watch } = world();
    cluster.deadMs = 100;
    await connect();
    for (const [dying, back] of [
      [a, c],
      [b, a],
      [c, b],
      [a, c],
    ] as const) {
      await pass(15_000);
      back.isUp = true;
      const request = watch(client.request(bytesOf('x')));
      dying.kill();
      await pass(3000);
      expect(client.state).toBe('Connected');
      expect(request.state).toBe('resolved');
    }
    expect(client.sessionId).toBe('session-1');
    expect(cluster.sessions.get('session-1')?.executed).toHaveLength(4);
  });

  test('case 22: the last gateway tried and failed: connect rejects where no attempt is to follow', async () => {
    const { client, a, b, c, pass, watch } = world({ reconnection: { autoReconnect: false } });
    for (const gateway of [a, b, c]) gateway.isUp = false;
    const connected = watch(client.connect());
    const waiting = watch(client.request(bytesOf('x')));
    await pass(5000);
    expect(codeOf(connected.value)).toBe('ERR_HAWSER_TIMED_OUT');
    expect(codeOf(waiting.value)).toBe('ERR_HAWSER_NOT_CONNECTED');
    expect(client.state).toBe('Disconnected');
  });

  test('case 22: when no gateway is left what was under way fails, and the session can be continued later', async () => {
    const { client, a, b, c, connect, pass, watch, states, cluster } = world({
      reconnection: { autoReconnect: false },
    });
    await connect();
    a.script = (message) => message.type === 'ClientRequest';
    const request = watch(client.request(bytesOf('x')));
    await pass(100);
    for (const gateway of [a, b, c]) gateway.kill();
    await pass(100);
    expect(codeOf(request.value)).toBe('ERR_HAWSER_CONNECTION_LOST');
    expect(states.at(-1)).toBe('Disconnected');
    b.isUp = true;
    const again = watch(client.connect());
    await pass(5000);
    expect(again.state).toBe('resolved');
    expect(client.sessionId).toBe('session-1');
    const next = watch(client.request(bytesOf('y')));
    await pass(100);
    expect(next.state).toBe('resolved');
    // The first is not waited for any more.
    expect(b.all('ClientRequest')).toMatchObject([{ requestId: 2, lowestPendingRequestId: 2 }]);
    expect(cluster.sessions.get('session-1')?.executed).toEqual(['y']);
  });

  test('case 22: invalid capabilities reject connect at once', async () => {
    const { client, a, pass, watch, cluster } = world();
    a.script = refuse('InvalidCapabilities');
    const connected = watch(client.connect());
    const waiting = watch(client.query(bytesOf('x')));
    await pass(60_000);
    expect(codeOf(connected.value)).toBe('ERR_HAWSER_SESSION_REJECTED');
    expect(codeOf(waiting.value)).toBe('ERR_HAWSER_SESSION_REJECTED');
    expect(cluster.attempts).toHaveLength(1);
    expect(client.state).toBe('Disconnected');
  });

  test('case 22: disconnect during connect rejects it', async () => {
    for (const waitMs of [0, 15, 25, 35]) {
      const { client, pass, watch, time, cluster } = world();
      const connected = watch(client.connect());
      const request = watch(client.request(bytesOf('x')));
      await pass(waitMs);
      const disconnected = watch(client.disconnect());
      await pass(3000);
      expect(codeOf(connected.value)).toBe('ERR_HAWSER_ABORTED');
      expect(codeOf(request.value)).toBe('ERR_HAWSER_ABORTED');
      expect(disconnected.state).toBe('resolved');
      expect(client.state).toBe('Disconnected');
      expect(time.wheel.size).toBe(0);
      expect(cluster.links).toHaveLength(0);
    }
  });

  test('case 22: a gateway that does not answer is left at once by disconnect', async () => {
    const { client, a, pass, watch, time, cluster } = world();
    a.script = () => true;
    watch(client.connect());
    await pass(1000);
    watch(client.disconnect());
    await pass(20);
    expect(cluster.links).toHaveLength(0);
    expect(time.wheel.size).toBe(0);
  });

  test('the signal of connect gives it up', async () => {
    const { client, a, pass, watch, time } = world();
    a.isUp = false;
    const controller = new AbortController();
    const connected = watch(client.connect({ signal: controller.signal }));
    const request = watch(client.request(bytesOf('x')));
    await pass(500);
    controller.abort('enough');
    await pass(3000);
    expect(connected.value).toMatchObject({ code: 'ERR_HAWSER_ABORTED', cause: 'enough' });
    expect(request.state).toBe('rejected');
    expect(client.state).toBe('Disconnected');
    expect(time.wheel.size).toBe(0);
  });

  test.each([20, 30_000])(
    'a client that was replaced by another one of its identity does not come back (%d ms)',
    async (afterMs) => {
      const { client, a, pass, watch, cluster } = world();
      if (afterMs < 100) a.script = () => true;
      watch(client.connect());
      await pass(afterMs);
      a.link.client.end(new HawserError('ERR_HAWSER_REPLACED', 'elsewhere'));
      await pass(100_000);
      expect(client.state).toBe('Disconnected');
      expect(cluster.attempts).toHaveLength(1);
    },
  );
});

describe('the end of the session', () => {
  test('case 19: SessionRejected(SessionExpired) on Continue is the end, and all that waits fails', async () => {
    const { client, cluster, a, connect, pass, watch, events, time } = world();
    await connect();
    a.script = (message) => message.type === 'ClientRequest' || message.type === 'Query';
    const calls = [client.request(bytesOf('x')), client.request(bytesOf('y')), client.query(bytesOf('z'))];
    const outcomes = calls.map(watch);
    await pass(100);
    cluster.sessions.clear();
    a.link.cut();
    await pass(600);
    expect(outcomes.map(({ value }) => codeOf(value))).toEqual(
      Array.from({ length: 3 }, () => 'ERR_HAWSER_SESSION_EXPIRED'),
    );
    expect(client.state).toBe('Expired');
    expect(events).toContainEqual(['expired', 'ERR_HAWSER_SESSION_EXPIRED']);
    expect(client.sessionId).toBeUndefined();
    const { length } = cluster.attempts;
    await pass(100_000);
    expect(cluster.attempts).toHaveLength(length);
    expect(time.wheel.size).toBe(0);
    await expect(client.request(bytesOf('x'))).rejects.toMatchObject({ code: 'ERR_HAWSER_SESSION_EXPIRED' });
  });

  test.each(['Continue is refused', 'a gateway says so'] as const)(
    'a listener of expired can connect at once, also when %s: another session begins',
    async (how) => {
      const { client, cluster, a, connect, pass, watch, events, close } = world();
      await connect();
      let again: Outcome | undefined;
      client.on('expired', () => {
        again = watch(client.connect());
      });
      if (how === 'Continue is refused') {
        cluster.sessions.clear();
        a.link.cut();
      } else a.link.send({ type: 'SessionClosed', reason: 'SessionExpired', leaderId: undefined });
      await pass(1000);
      expect(again?.state).toBe('resolved');
      expect(client.state).toBe('Connected');
      expect(client.sessionId).toBe('session-2');
      expect(events.filter(([event]) => event === 'expired')).toHaveLength(1);
      await close();
    },
  );

  test('a second connect in a listener is refused, and the first goes on with the session that it was given', async () => {
    const { client, cluster, a, connect, pass, watch, close } = world();
    await connect();
    const session = { id: 'kept', nextRequestId: 9, lastServerRequestId: 0 };
    const outcomes: Outcome[] = [];
    client.on('expired', () => {
      outcomes.push(watch(client.connect({ session })), watch(client.connect()));
    });
    cluster.sessions.clear();
    cluster.sessions.set('kept', { results: new Map(), executed: [] });
    a.link.cut();
    await pass(1000);
    expect(outcomes.map(({ state }) => state)).toEqual(['resolved', 'rejected']);
    expect(codeOf(outcomes[1]?.value)).toBe('ERR_HAWSER_ALREADY_CONNECTED');
    expect(client.sessionId).toBe('kept');
    await close();
  });

  test('case 19: SessionClosed(SessionExpired) is the end as well', async () => {
    const { client, a, connect, pass, watch, states, events, cluster } = world();
    await connect();
    a.script = (message) => message.type === 'ClientRequest';
    const request = watch(client.request(bytesOf('x')));
    await pass(100);
    a.link.send({ type: 'SessionClosed', reason: 'SessionExpired', leaderId: undefined });
    await pass(60_000);
    expect(codeOf(request.value)).toBe('ERR_HAWSER_SESSION_EXPIRED');
    expect(states).toEqual(['Disconnected', 'ConnectingNewSession', 'Connected', 'Expired']);
    expect(events.slice(-3)).toEqual([
      ['disconnected', 'ERR_HAWSER_SESSION_EXPIRED'],
      ['stateChange', 'Connected', 'Expired'],
      ['expired', 'ERR_HAWSER_SESSION_EXPIRED'],
    ]);
    expect(cluster.attempts).toHaveLength(1);
  });

  test('after the end connect begins another session, whose ids begin anew', async () => {
    const { client, a, b, c, connect, pass, watch } = world();
    await connect();
    const first = watch(client.request(bytesOf('x')));
    a.link.send({ type: 'ServerRequest', requestId: 1, payload: bytesOf('s'), createdAt: 0 });
    await pass(100);
    expect(first.state).toBe('resolved');
    a.link.send({ type: 'SessionClosed', reason: 'SessionExpired', leaderId: undefined });
    await pass(100);
    // Nor does the reason why no attempt followed hold for the new one.
    for (const gateway of [a, b, c]) gateway.isUp = false;
    const again = watch(client.connect());
    await pass(2000);
    a.isUp = true;
    await pass(5000);
    expect(again.state).toBe('resolved');
    expect(client.sessionId).toBe('session-2');
    const second = watch(client.request(bytesOf('y')));
    await pass(100);
    expect(second.state).toBe('resolved');
    expect(a.all('ClientRequest').map(({ requestId }) => requestId)).toEqual([1, 1]);
    a.link.send({ type: 'ServerRequest', requestId: 1, payload: bytesOf('s'), createdAt: 0 });
    await pass(100);
    expect(client.stats.serverRequests).toBe(2);
  });

  test('case 21: disconnect sends CloseSession, and waits until it has arrived', async () => {
    const { client, cluster, a, connect, pass, watch, time, states } = world();
    await connect();
    // Where the last session was to go means nothing for the next.
    a.link.tellFarewell({ deadlineMs: 0, reconnectSpreadMs: 0, elsewhere: 'c:1' });
    const startMs = time.nowMs;
    const disconnected = watch(client.disconnect());
    expect(client.state).toBe('Disconnected');
    await pass(100);
    expect(disconnected).toMatchObject({ state: 'resolved', atMs: startMs + 2 * cluster.delayMs });
    expect(a.all('CloseSession')).toEqual([{ type: 'CloseSession', reason: 'ClientShutdown' }]);
    expect(cluster.sessions.size).toBe(0);
    expect(cluster.links).toHaveLength(0);
    expect(states.at(-1)).toBe('Disconnected');
    expect(time.wheel.size).toBe(0);
    const again = watch(client.connect());
    await pass(100);
    expect(again.state).toBe('resolved');
    expect(client.sessionId).toBe('session-2');
    expect(cluster.targets.at(-1)).toEqual({ first: undefined, last: undefined });
  });

  test('case 21: a gateway that does not end the connection itself is left as soon as it has CloseSession', async () => {
    const { client, a, connect, pass, watch, cluster } = world();
    await connect();
    a.script = (message, link) => {
      if (message.type !== 'KeepAlive') return false;
      link.send({ type: 'SessionClosed', reason: 'SessionError', leaderId: undefined });
      return true;
    };
    const disconnected = watch(client.disconnect());
    await pass(100);
    expect(disconnected.state).toBe('resolved');
    expect(cluster.links).toHaveLength(0);
  });

  test.each([
    [5000, {}],
    [60_000, { sessionAnswerTimeoutMs: 60_000 }],
  ])('case 21: a gateway that does not answer CloseSession is left after %i ms', async (ms, options) => {
    const { client, a, connect, pass, watch, cluster } = world(options);
    await connect();
    a.script = () => true;
    const disconnected = watch(client.disconnect());
    await pass(ms - 100);
    expect(disconnected.state).toBeUndefined();
    await pass(200);
    expect(disconnected.state).toBe('resolved');
    expect(cluster.links).toHaveLength(0);
  });

  test('disconnect rejects what waits, and keepSession leaves the session to be continued', async () => {
    const { client, cluster, a, connect, pass, watch } = world();
    await connect();
    a.script = (message) => message.type === 'ClientRequest';
    const request = watch(client.request(bytesOf('x')));
    await pass(50);
    await client.disconnect({ keepSession: true });
    await pass(50);
    expect(codeOf(request.value)).toBe('ERR_HAWSER_ABORTED');
    expect(a.all('CloseSession')).toEqual([]);
    expect(cluster.links).toHaveLength(0);
    a.script = undefined;
    const again = watch(client.connect());
    await pass(200);
    expect(again.state).toBe('resolved');
    expect(client.sessionId).toBe('session-1');
  });

  test('another client goes on with a snapshot, with ids that were not used', async () => {
    const { client, cluster, time, a, connect, pass, watch } = world();
    await connect();
    const first = watch(client.request(bytesOf('x')));
    a.link.send({ type: 'ServerRequest', requestId: 1, payload: bytesOf('s'), createdAt: 0 });
    await pass(100);
    expect(first.state).toBe('resolved');
    const session = client.snapshot();
    expect(session).toEqual({ id: 'session-1', nextRequestId: 2, lastServerRequestId: 1 });
    await client.close({ keepSession: true });
    const got: number[] = [];
    const next = new SessionClient({
      connector: cluster.connector,
      wheel: time.wheel,
      onServerRequest: ({ requestId }) => void got.push(requestId),
    });
    const connected = watch(next.connect(session === undefined ? {} : { session }));
    expect(next.state).toBe('ConnectingExistingSession');
    await pass(200);
    expect(connected.state).toBe('resolved');
    const second = watch(next.request(bytesOf('y')));
    for (const requestId of [1, 2]) {
      a.link.send({ type: 'ServerRequest', requestId, payload: bytesOf('s'), createdAt: 0 });
    }
    await pass(100);
    expect(second.state).toBe('resolved');
    expect(cluster.sessions.get('session-1')?.executed).toEqual(['x', 'y']);
    expect(got).toEqual([2]);
    await next.close({ keepSession: true });
  });

  test('what becomes of an attempt that was given up means nothing for the next', async () => {
    const { client, cluster, time, a, b, c, pass, watch } = world();
    const session = { id: 'unknown', nextRequestId: 9, lastServerRequestId: 0 };
    watch(client.connect({ session }));
    await pass(35);
    // The refusal comes, and before any promise knows of it the client begins anew.
    time.runTo(40);
    watch(client.disconnect({ keepSession: true }));
    cluster.deadMs = 10;
    for (const gateway of [a, b, c]) gateway.isUp = false;
    const again = watch(client.connect({ session: { ...session, id: 'session-9' } }));
    cluster.sessions.set('session-9', { results: new Map(), executed: [] });
    await pass(2000);
    a.isUp = true;
    await pass(5000);
    expect(again.state).toBe('resolved');
    expect(client.sessionId).toBe('session-9');
  });

  test('a session to go on with that is over is an expired one', async () => {
    const { client, pass, watch } = world();
    const session = { id: 'unknown', nextRequestId: 9, lastServerRequestId: 0 };
    const connected = watch(client.connect({ session }));
    const request = watch(client.request(bytesOf('x')));
    await pass(200);
    expect(codeOf(connected.value)).toBe('ERR_HAWSER_SESSION_EXPIRED');
    expect(codeOf(request.value)).toBe('ERR_HAWSER_SESSION_EXPIRED');
    expect(client.state).toBe('Expired');
  });

  test.each([
    'connecting',
    'connected',
    'asking',
    'reconnecting',
    'leaving',
    'departing',
    'expired',
  ] as const)('close while it is %s leaves no timer and no connection', async (when) => {
    const { client, cluster, time, a, b, c, connect, pass, watch } = world();
    if (when === 'connecting') client.connect().catch(() => undefined);
    else await connect();
    if (when === 'asking' || when === 'reconnecting') {
      a.script = (message) => message.type === 'ClientRequest' || message.type === 'Query';
      watch(client.request(bytesOf('x')));
      watch(client.query(bytesOf('x')));
      await pass(100);
    }
    if (when === 'reconnecting') for (const gateway of [a, b, c]) gateway.kill();
    if (when === 'leaving') watch(client.disconnect());
    if (when === 'departing') {
      a.link.tellFarewell({ deadlineMs: 30_000, reconnectSpreadMs: 20_000, elsewhere: undefined });
    }
    if (when === 'expired') {
      watch(client.request(bytesOf('x')));
      a.script = () => true;
      a.link.send({
        type: 'RequestError',
        requestId: 1,
        reason: 'ResponseEvicted',
        error: bytesOf(''),
        retryAfterMs: 0,
      });
      await pass(12);
    }
    const closed = watch(client.close());
    const twice = watch(client.close());
    await pass(6000);
    expect(closed.state).toBe('resolved');
    expect(twice.state).toBe('resolved');
    expect(time.wheel.size).toBe(0);
    await pass(60_000);
    expect(time.clock.nextDueMs).toBe(Number.POSITIVE_INFINITY);
    expect(cluster.links).toHaveLength(0);
    await expect(client.request(bytesOf('x'))).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    await expect(client.connect()).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
  });
});

describe('farewell', () => {
  test('of a gateway that will go moves the client to where it says, before the deadline', async () => {
    const { client, cluster, a, connect, pass, events, time } = world();
    await connect();
    await pass(20_000);
    const startMs = time.nowMs;
    a.link.tellFarewell({ deadlineMs: 10_000, reconnectSpreadMs: 0, elsewhere: 'c:1' });
    await pass(100);
    expect(client.state).toBe('Connected');
    expect(cluster.attempts.at(-1)).toMatchObject({ address: 'c:1' });
    expect(events).toContainEqual(['redirected', 'farewell', 'c:1']);
    expect(cluster.attempts.at(-1)?.atMs).toBeLessThan(startMs + 100);
    expect(client.sessionId).toBe('session-1');
  });

  test('spreads those who move over the time that is left', async () => {
    const draws = [0, 0.25, 0.999].map(async (draw) => {
      const { cluster, a, connect, pass, time } = world({ random: () => draw });
      await connect();
      await pass(20_000);
      const startMs = time.nowMs;
      a.link.tellFarewell({ deadlineMs: 10_000, reconnectSpreadMs: 60_000, elsewhere: undefined });
      await pass(70_000);
      return (cluster.attempts.at(-1)?.atMs ?? 0) - startMs;
    });
    // Up to 8 s before it goes, and up to 52 s after.
    const [none, quarter, all] = await Promise.all(draws);
    expect(none).toBeLessThan(100);
    expect(quarter).toBeGreaterThan(14_900);
    expect(quarter).toBeLessThan(15_100);
    expect(all).toBeGreaterThan(59_900);
  });

  test('means nothing for the next connection', async () => {
    const { client, cluster, a, connect, pass } = world({ random: () => 0.5 });
    await connect();
    await pass(20_000);
    a.link.tellFarewell({ deadlineMs: 60_000, reconnectSpreadMs: 40_000, elsewhere: undefined });
    await pass(1000);
    a.link.cut();
    await pass(100_000);
    expect(client.state).toBe('Connected');
    expect(cluster.attempts).toHaveLength(2);
  });

  test('of one that goes now spreads the next attempt', async () => {
    const { client, a, connect, pass, events } = world({ random: () => 0.5 });
    await connect();
    await pass(20_000);
    a.link.tellFarewell({ deadlineMs: 0, reconnectSpreadMs: 10_000, elsewhere: 'b:1' });
    a.link.cut();
    await pass(0);
    expect(events.at(-1)).toEqual(['reconnecting', 1, 5000]);
    await pass(6000);
    expect(client.state).toBe('Connected');
  });

  test.each([0, 10_000])(
    'that would spread clients over days does not keep them away for so long',
    async (deadlineMs) => {
      const { client, cluster, a, connect, pass } = world({ random: () => 0.999 });
      await connect();
      await pass(20_000);
      a.link.tellFarewell({ deadlineMs, reconnectSpreadMs: 2 ** 31, elsewhere: undefined });
      if (deadlineMs === 0) a.link.cut();
      await pass(590_000);
      expect(cluster.attempts).toHaveLength(1);
      await pass(11_000);
      expect(cluster.attempts).toHaveLength(2);
      expect(client.state).toBe('Connected');
    },
  );

  test('of a gateway that has not answered for a session yet changes nothing', async () => {
    const { client, a, pass, watch, events } = world();
    a.script = () => true;
    watch(client.connect());
    await pass(100);
    a.link.tellFarewell({ deadlineMs: 1000, reconnectSpreadMs: 0, elsewhere: 'c:1' });
    await pass(4000);
    expect(client.state).toBe('ConnectingNewSession');
    expect(events.filter(([name]) => name === 'redirected')).toEqual([]);
    await pass(2000);
    expect(client.state).toBe('Connected');
  });

  test('without exactly-once the client stays for the answers that it can still get', async () => {
    const { client, a, connect, pass, watch, cluster } = world({ delivery: 'at-most-once' });
    await connect();
    await pass(20_000);
    a.script = (message) => message.type === 'ClientRequest';
    const request = watch(client.request(bytesOf('x')));
    a.link.tellFarewell({ deadlineMs: 10_000, reconnectSpreadMs: 0, elsewhere: undefined });
    await pass(7900);
    expect(cluster.attempts).toHaveLength(1);
    await pass(200);
    expect(cluster.attempts).toHaveLength(2);
    expect(codeOf(request.value)).toBe('ERR_HAWSER_CONNECTION_LOST');
  });
});

describe('what the client tells', () => {
  test('is told in its order, also when a listener brings the next event about', async () => {
    const { client, a, connect, pass } = world();
    await connect();
    const heard: string[] = [];
    client.on('stateChange', (_, to) => {
      if (to === 'ConnectingExistingSession') void client.disconnect();
    });
    client.on('stateChange', (from, to) => heard.push(`${from} ${to}`));
    client.on('disconnected', () => heard.push('disconnected'));
    a.link.cut();
    await pass(100);
    expect(heard).toEqual([
      'Connected ConnectingExistingSession',
      'disconnected',
      'ConnectingExistingSession Disconnected',
    ]);
  });

  test('a listener that throws, or rejects, disturbs nothing', async () => {
    const { client, a, connect, pass } = world({
      onServerRequest: async ({ requestId }) => {
        if (requestId === 1) throw new Error('handler');
      },
    });
    const errors: string[] = [];
    client.on('listenerError', (error, source) => errors.push(`${source}: ${(error as Error).message}`));
    client.on('connected', () => {
      throw new Error('listener');
    });
    client.on('roundTrip', async () => {
      throw new Error('async listener');
    });
    await connect();
    for (const requestId of [1, 2]) {
      a.link.send({ type: 'ServerRequest', requestId, payload: bytesOf(''), createdAt: 0 });
    }
    await pass(100);
    expect(client.state).toBe('Connected');
    expect(client.stats.serverRequests).toBe(2);
    expect(errors).toEqual(['connected: listener', 'roundTrip: async listener', 'onServerRequest: handler']);
  });

  test('disconnect in the listener of connected ends the session', async () => {
    const { client, pass, watch, cluster, time } = world();
    client.on('connected', () => void client.disconnect());
    const connected = watch(client.connect());
    await pass(3000);
    expect(codeOf(connected.value)).toBe('ERR_HAWSER_ABORTED');
    expect(client.state).toBe('Disconnected');
    expect(cluster.sessions.size).toBe(0);
    expect(cluster.links).toHaveLength(0);
    expect(time.wheel.size).toBe(0);
  });

  test('what comes right behind SessionCreated is heard', async () => {
    const got: string[] = [];
    const { client, cluster, a, connect } = world({
      onServerRequest: ({ payload }) => void got.push(textOf(payload)),
    });
    a.script = (message, link, how) => {
      if (message.type !== 'CreateSession') return false;
      cluster.serve(message, link, how);
      link.send({ type: 'ServerRequest', requestId: 1, payload: bytesOf('hello'), createdAt: 5 });
      return true;
    };
    await connect();
    expect(got).toEqual(['hello']);
    expect(client.state).toBe('Connected');
  });

  test('a connection that is lost right behind SessionCreated is made anew', async () => {
    const { client, cluster, a, pass, watch } = world();
    a.script = (message, link, how) => {
      if (message.type !== 'CreateSession') return false;
      cluster.serve(message, link, how);
      link.close();
      return true;
    };
    const connected = watch(client.connect());
    await pass(5000);
    expect(connected.state).toBe('resolved');
    expect(client.state).toBe('Connected');
    expect(client.sessionId).toBe('session-1');
  });

  test('a session that begins in the moment in which its attempt is given up goes on', async () => {
    const { client, time, cluster, pass, watch, states } = world({
      reconnection: { attemptTimeoutMs: 40.5 },
    });
    const connected = watch(client.connect());
    await pass(35);
    // The answer at 40 ms, and the end of the attempt, before any promise.
    time.runTo(41);
    await pass(2000);
    expect(connected.state).toBe('resolved');
    expect(states.slice(-3)).toEqual(['Connected', 'ConnectingExistingSession', 'Connected']);
    expect(client.sessionId).toBe('session-1');
    expect(cluster.links).toHaveLength(1);
  });

  test('what is no message is counted, and nothing else', async () => {
    const { client, a, connect, pass } = world();
    await connect();
    a.link.server.send(bytesOf('hello'));
    a.link.server.sendUnreliable(new Uint8Array(2000));
    a.link.send({ type: 'SessionCreated', sessionId: 'other', nonce: 5n });
    a.link.send({ type: 'ClientResponse', requestId: 77, result: bytesOf('') });
    a.link.send({ type: 'QueryResponse', correlationId: 'nobody', result: bytesOf('') });
    await pass(100);
    expect(client.stats.undecodable).toBe(2);
    expect(client.state).toBe('Connected');
    expect(client.sessionId).toBe('session-1');
  });
});

describe('the options', () => {
  const connector = async (): Promise<void> => undefined;
  test.each<[Record<string, unknown>]>([
    [{}],
    [{ connector: 1 }],
    [{ connector, conector: 1 }],
    [{ connector, capabilities: { '': 'x' } }],
    [{ connector, capabilities: { 'a b': 'x' } }],
    [{ connector, capabilities: { a: '' } }],
    [{ connector, capabilities: { a: 1 } }],
    [{ connector, capabilities: { hawser: '2' } }],
    [{ connector, capabilities: { 'hawser-delivery': 'exactly-once' } }],
    [{ connector, capabilities: [] }],
    [{ connector, delivery: 'twice' }],
    [{ connector, intervals: { idleMs: 9999 } }],
    [{ connector, intervals: { idleMs: 120_001 } }],
    [{ connector, intervals: { busyMs: 9999 } }],
    [{ connector, intervals: { busyMs: 30_001 } }],
    [{ connector, intervals: { poorNetworkMs: 30_001 } }],
    [{ connector, intervals: { idle: 20_000 } }],
    [{ connector, answerTimeoutMs: 0 }],
    [{ connector, answerTimeoutMs: 30_001 }],
    [{ connector, sessionAnswerTimeoutMs: 0 }],
    [{ connector, sessionAnswerTimeoutMs: -1 }],
    [{ connector, sessionAnswerTimeoutMs: 600_001 }],
    [{ connector, requestResendMs: 999 }],
    [{ connector, requestResendMs: Number.NaN }],
    [{ connector, maxPending: 0 }],
    [{ connector, onServerRequest: 1 }],
    [{ connector, reconnection: { stableMs: -1 } }],
    [{ connector, reconnection: { backoff: { jitter: 2 } } }],
    [{ connector, testRanges: 1 }],
    [{ connector, testRanges: true, requestResendMs: 0 }],
    [{ connector, wheel: {} }],
    [{ connector, random: 1 }],
  ])('case 23: %j are refused', (options) => {
    expect(() => new SessionClient(options as unknown as SessionClientOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
  });

  test('case 23: more than 60 capabilities, or more than 16,384 bytes of them, and a session id of more than 255, are refused', async () => {
    const capabilities = Object.fromEntries(Array.from({ length: 61 }, (_, n) => [`c${n}`, 'x']));
    expect(() => new SessionClient({ connector, capabilities })).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
    const tooLong = { a: 'x'.repeat(16_384) };
    expect(() => new SessionClient({ connector, capabilities: tooLong })).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
    const session = { id: 'x'.repeat(256), nextRequestId: 1, lastServerRequestId: 0 };
    await expect(world().client.connect({ session })).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
  });

  test('case 23: those at the ends of their ranges are taken', () => {
    for (const options of [
      { intervals: { idleMs: 120_000, busyMs: 10_000, poorNetworkMs: 10_000 } },
      { intervals: { idleMs: 10_000 } },
      { testRanges: true, intervals: { idleMs: 1 }, requestResendMs: 1, sessionAnswerTimeoutMs: 1 },
      { capabilities: Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`c${n}`, 'x'])) },
      { delivery: 'at-most-once' },
    ] as const) {
      expect(new SessionClient({ connector, ...options }).state).toBe('Disconnected');
    }
  });

  test.each([
    [{ id: '', nextRequestId: 1, lastServerRequestId: 0 }],
    [{ id: 'x', nextRequestId: -1, lastServerRequestId: 0 }],
    [{ id: 'x', nextRequestId: 1.5, lastServerRequestId: 0 }],
    [{ id: 'x', nextRequestId: 1, lastServerRequestId: 2 ** 53 }],
  ])('a session to go on with cannot be %j', async (session) => {
    const { client } = world();
    await expect(client.connect({ session })).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    expect(client.state).toBe('Disconnected');
  });

  test('capabilities and delivery are told to the server', async () => {
    const { a, connect } = world({ capabilities: { role: 'meter' }, delivery: 'at-most-once' });
    await connect();
    expect(a.all('CreateSession')[0]?.capabilities).toEqual(
      new Map([
        ['role', 'meter'],
        ['hawser', '1'],
        ['hawser-delivery', 'at-most-once'],
      ]),
    );
  });
});
