import { describe, expect, test } from 'vitest';
import { HawserError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import type { Response } from '../../src/interaction/messages.js';
import {
  connectionLostError,
  PendingRequests,
  type PendingRequestsOptions,
  type RequestOptions,
  StatusError,
} from '../../src/interaction/pending-requests.js';
import type { ErrorStatus } from '../../src/interaction/status.js';
import type { Value } from '../../src/interaction/values.js';
import { settled, VirtualTime } from './virtual-time.js';

type Outcome = 'pending' | Response | Error;

class Harness {
  readonly time = new VirtualTime();
  readonly unexpected: Response[] = [];
  readonly requests: PendingRequests;
  /** The ids of the requests on the wire, in their order. */
  readonly sent: number[] = [];

  constructor(options: Partial<PendingRequestsOptions> = {}) {
    const unexpectedReply = (response: Response): void => void this.unexpected.push(response);
    this.requests = new PendingRequests({ wheel: this.time.wheel, unexpectedReply, ...options });
  }

  /** Makes a request. @returns what has become of it. */
  request(options?: RequestOptions): { outcome: Outcome } {
    const made: { outcome: Outcome } = { outcome: 'pending' };
    this.requests
      .request((id) => this.sent.push(id), options)
      .then(
        (response) => {
          made.outcome = response;
        },
        (error: unknown) => {
          made.outcome = error instanceof Error ? error : new Error(String(error));
        },
      );
    return made;
  }

  async runTo(atMs: number): Promise<void> {
    this.time.runTo(atMs);
    await settled();
  }
}

function success(messageId: number, payload: Value = messageId): Response {
  return { type: 'response', messageId, status: 'SUCCESS', payload };
}

function refusal(messageId: number, status: ErrorStatus, payload?: Value): Response {
  return { type: 'response', messageId, status, ...(payload === undefined ? {} : { payload }) };
}

describe('correlation', () => {
  test('TC-PROTO-001: a request is resolved by the response with its id, and by no other', async () => {
    const harness = new Harness();
    const first = harness.request();
    const second = harness.request();
    expect(harness.sent).toEqual([1, 2]);
    expect(harness.requests.size).toBe(2);

    const response = success(2, 'for the second');
    expect(harness.requests.settle(response)).toBe(true);
    await settled();
    expect(second.outcome).toBe(response);
    expect(first.outcome).toBe('pending');

    expect(harness.requests.settle(success(1))).toBe(true);
    await settled();
    expect(first.outcome).toEqual(success(1));
    expect(harness.requests.size).toBe(0);
    expect(harness.unexpected).toEqual([]);
  });

  test('TC-PROTO-003: a thousand concurrent requests, answered in reverse, each get their own response', async () => {
    const harness = new Harness();
    const all = Array.from({ length: 1000 }, () => harness.request());
    expect(new Set(harness.sent).size).toBe(1000);
    expect(harness.sent).not.toContain(0);
    for (const id of harness.sent.toReversed()) {
      expect(harness.requests.settle(success(id))).toBe(true);
      // What does not answer a request disturbs none.
      expect(harness.requests.settle(success(id + 5000))).toBe(false);
    }
    await settled();
    expect(all.map(({ outcome }) => outcome)).toEqual(harness.sent.map((id) => success(id)));
    expect(harness.requests.size).toBe(0);
    expect(harness.requests.unexpectedReplies).toBe(1000);
  });

  test('the ids go from 4294967295 to 1, never to 0', () => {
    const harness = new Harness({ firstMessageId: 0xffff_fffe });
    for (let count = 0; count < 4; ++count) harness.request();
    expect(harness.sent).toEqual([0xffff_fffe, 0xffff_ffff, 1, 2]);
  });

  test('or to the least id that is wanted', () => {
    const harness = new Harness({ firstMessageId: 0xffff_ffff, leastMessageId: 4 });
    for (let count = 0; count < 3; ++count) harness.request();
    expect(harness.sent).toEqual([0xffff_ffff, 4, 5]);
    const started = new Harness({ leastMessageId: 4 });
    started.request();
    expect(started.sent).toEqual([4]);
  });

  test('an id is not used again while a request waits with it', async () => {
    const harness = new Harness({ leastMessageId: 0xffff_fffd, maxInFlight: 3 });
    const [slow] = [harness.request(), harness.request(), harness.request()];
    harness.requests.settle(success(0xffff_fffe));
    harness.requests.settle(success(0xffff_ffff));
    harness.request();
    harness.request();
    expect(harness.sent.slice(3)).toEqual([0xffff_fffe, 0xffff_ffff]);
    harness.requests.settle(success(0xffff_fffd, 'at last'));
    await settled();
    expect(slow?.outcome).toEqual(success(0xffff_fffd, 'at last'));
  });

  test('any id is echoed: 12345 and 67890', async () => {
    for (const firstMessageId of [12_345, 67_890]) {
      const harness = new Harness({ firstMessageId });
      const made = harness.request();
      expect(harness.sent).toEqual([firstMessageId]);
      expect(harness.requests.settle(success(firstMessageId))).toBe(true);
      await settled();
      expect(made.outcome).toEqual(success(firstMessageId));
    }
  });

  test('a response may come while the request is being sent', async () => {
    const harness = new Harness();
    const made = harness.requests.request((id) => {
      expect(harness.requests.size).toBe(1);
      expect(harness.requests.settle(success(id, 'at once'))).toBe(true);
    });
    await expect(made).resolves.toEqual(success(1, 'at once'));
    expect(harness.requests.size).toBe(0);
  });
});

describe('the timeout', () => {
  test('TC-PROTO-002: without a response a request waits for 30 s and not a millisecond longer', async () => {
    const harness = new Harness();
    const made = harness.request();
    await harness.runTo(29_999);
    expect(made.outcome).toBe('pending');
    await harness.runTo(30_000);
    expect(made.outcome).toBeInstanceOf(HawserError);
    expect(made.outcome).toMatchObject({
      code: 'ERR_HAWSER_TIMED_OUT',
      message: 'no response within 30000 ms',
    });
    expect(harness.requests.size).toBe(0);
    expect(harness.requests.timeouts).toBe(1);

    await harness.runTo(30_001);
    const late = success(1);
    expect(harness.requests.settle(late)).toBe(false);
    await settled();
    expect(harness.unexpected).toEqual([late]);
    expect(made.outcome).toMatchObject({ code: 'ERR_HAWSER_TIMED_OUT' });

    // The next request is not disturbed.
    const next = harness.request();
    harness.requests.settle(success(2));
    await settled();
    expect(next.outcome).toEqual(success(2));
  });

  test('a request may have its own, shorter and longer than that of all', async () => {
    const harness = new Harness({ timeoutMs: 500 });
    const [usual, short, long] = [
      harness.request(),
      harness.request({ timeoutMs: 100 }),
      harness.request({ timeoutMs: 40_000 }),
    ];
    const codes = (): unknown[] =>
      [usual, short, long].map(({ outcome }) => (outcome instanceof HawserError ? outcome.code : outcome));
    await harness.runTo(99);
    expect(codes()).toEqual(['pending', 'pending', 'pending']);
    await harness.runTo(100);
    expect(codes()).toEqual(['pending', 'ERR_HAWSER_TIMED_OUT', 'pending']);
    await harness.runTo(500);
    expect(codes()).toEqual(['ERR_HAWSER_TIMED_OUT', 'ERR_HAWSER_TIMED_OUT', 'pending']);
    await harness.runTo(39_999);
    expect(codes()[2]).toBe('pending');
    await harness.runTo(40_000);
    expect(codes()[2]).toBe('ERR_HAWSER_TIMED_OUT');
  });

  test('a request that was answered does not time out', async () => {
    const harness = new Harness();
    harness.request();
    harness.requests.settle(success(1));
    await harness.runTo(60_000);
    expect(harness.requests.timeouts).toBe(0);
    expect(harness.time.wheel.size).toBe(0);
  });
});

describe('a response that nobody waits for', () => {
  test.each([0, 1, 7, 0xffff_ffff])('with the id %d is counted and told', (id) => {
    const harness = new Harness();
    expect(harness.requests.settle(success(id))).toBe(false);
    expect(harness.requests.unexpectedReplies).toBe(1);
    expect(harness.unexpected).toEqual([success(id)]);
  });

  test('is the second one to a request, also when it says something else', async () => {
    const harness = new Harness();
    const made = harness.request();
    harness.requests.settle(success(1, 'first'));
    expect(harness.requests.settle(refusal(1, 'BUSY'))).toBe(false);
    await settled();
    expect(made.outcome).toEqual(success(1, 'first'));
    expect(harness.unexpected).toEqual([refusal(1, 'BUSY')]);
  });

  test('needs no listener', () => {
    const requests = new PendingRequests({ wheel: new VirtualTime().wheel });
    expect(requests.settle(success(5))).toBe(false);
    expect(requests.unexpectedReplies).toBe(1);
  });
});

describe('a status that is not SUCCESS', () => {
  test('rejects with the status and the words of the other side; the error has the id of its request', async () => {
    const harness = new Harness({ firstMessageId: 99_998 });
    const [other, made] = [harness.request(), harness.request()];
    const response = refusal(99_999, 'INVALID_ENDPOINT', new Map([[1, 'endpoint not found']]));
    expect(harness.requests.settle(response)).toBe(true);
    await settled();
    expect(made.outcome).toBeInstanceOf(StatusError);
    expect(made.outcome).toBeInstanceOf(HawserError);
    expect(made.outcome).toMatchObject({
      code: 'ERR_HAWSER_STATUS',
      status: 'INVALID_ENDPOINT',
      detail: 'endpoint not found',
      message: 'the other side answered INVALID_ENDPOINT: "endpoint not found"',
    });
    expect(other.outcome).toBe('pending');
    expect(harness.requests.size).toBe(1);
  });

  test.each([
    ['none', undefined],
    ['null', null],
    ['a text', 'no'],
    ['a list', ['no', 'no']],
    ['an empty map', new Map()],
    ['another key', new Map([[2, 'no']])],
    ['a text as key', new Map([['1', 'no']])],
    ['a number for the words', new Map([[1, 404]])],
    ['a map for the words', new Map([[1, new Map()]])],
  ] satisfies [string, Value | undefined][])('keeps the status with a payload of %s', async (_, payload) => {
    const harness = new Harness();
    const made = harness.request();
    harness.requests.settle(refusal(1, 'RESOURCE_EXHAUSTED', payload));
    await settled();
    expect(made.outcome).toMatchObject({
      status: 'RESOURCE_EXHAUSTED',
      detail: undefined,
      message: 'the other side answered RESOURCE_EXHAUSTED',
    });
  });

  test('repeats only the beginning of long words, escaped', async () => {
    const harness = new Harness();
    const made = harness.request();
    const words = `\u001b[2J\n${'x'.repeat(60_000)}`;
    harness.requests.settle(refusal(1, 'BUSY', new Map([[1, words]])));
    await settled();
    const { outcome } = made;
    expect(outcome).toMatchObject({ detail: words });
    expect(outcome instanceof Error && outcome.message.length).toBeLessThan(200);
    expect(outcome instanceof Error && outcome.message).toMatch(/^[ -~]+$/);
  });
});

describe('an AbortSignal', () => {
  test('ends the waiting, with its reason as cause', async () => {
    const harness = new Harness();
    const controller = new AbortController();
    const [made, other] = [harness.request({ signal: controller.signal }), harness.request()];
    const reason = new Error('enough');
    controller.abort(reason);
    await settled();
    expect(made.outcome).toMatchObject({ code: 'ERR_HAWSER_ABORTED', cause: reason });
    expect(other.outcome).toBe('pending');
    expect(harness.requests.size).toBe(1);
    expect(harness.time.wheel.size).toBe(1);
    expect(harness.requests.settle(success(1))).toBe(false);
  });

  test('that is aborted already refuses the request: nothing is sent, no id is spent', async () => {
    const harness = new Harness();
    const made = harness.request({ signal: AbortSignal.abort() });
    harness.request();
    await settled();
    expect(made.outcome).toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
    expect(harness.sent).toEqual([1]);
  });

  test('does nothing once the response is there, and is not listened to any more', async () => {
    const harness = new Harness();
    const { signal, listeners, abort } = countingSignal();
    const ends: (() => void)[] = [
      () => harness.requests.settle(success(1)),
      () => harness.requests.settle(refusal(2, 'BUSY')),
      () => harness.time.runTo(30_000),
      () => harness.requests.rejectAll(connectionLostError()),
    ];
    for (const end of ends) {
      const made = harness.request({ signal });
      expect(listeners()).toBe(1);
      end();
      expect(listeners()).toBe(0);
      await settled();
      expect(made.outcome).not.toBe('pending');
    }
    const first = harness.request({ signal });
    harness.requests.settle(success(5, 'there'));
    abort();
    await settled();
    expect(first.outcome).toEqual(success(5, 'there'));
  });
});

/** A signal that knows how many listen to it. */
function countingSignal(): { signal: AbortSignal; listeners: () => number; abort: () => void } {
  const controller = new AbortController();
  const { signal } = controller;
  const listening = new Set<unknown>();
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...given: Parameters<typeof addEventListener>): void => {
    listening.add(given[1]);
    addEventListener.apply(signal, given);
  };
  signal.removeEventListener = (...given: Parameters<typeof removeEventListener>): void => {
    listening.delete(given[1]);
    removeEventListener.apply(signal, given);
  };
  return { signal, listeners: () => listening.size, abort: () => controller.abort() };
}

describe('a lost connection', () => {
  test('rejects all that wait at once: CONNECTION_LOST, whose cause is a timeout', async () => {
    const harness = new Harness();
    const all = [harness.request(), harness.request(), harness.request()];
    harness.requests.settle(success(2));
    expect(harness.requests.rejectAll(connectionLostError('3 pongs missed'))).toBe(2);
    await settled();
    for (const made of [all[0], all[2]]) {
      const outcome = made?.outcome;
      expect(outcome).toBeInstanceOf(HawserError);
      expect(outcome).toMatchObject({
        code: 'ERR_HAWSER_CONNECTION_LOST',
        message: 'the connection was lost (3 pongs missed)',
        cause: expect.objectContaining({ code: 'ERR_HAWSER_TIMED_OUT' }),
      });
    }
    expect(all[1]?.outcome).toEqual(success(2));
    expect(harness.requests.size).toBe(0);
    expect(harness.time.wheel.size).toBe(0);
    expect(harness.requests.settle(success(1))).toBe(false);
    expect(harness.requests.rejectAll(connectionLostError())).toBe(0);
  });

  test('leaves the ids where they are', () => {
    const harness = new Harness();
    harness.request();
    harness.requests.rejectAll(connectionLostError());
    harness.request();
    expect(harness.sent).toEqual([1, 2]);
  });
});

describe('what is not sent', () => {
  test('a request beyond maxInFlight is refused, and there is room again after a response', async () => {
    const harness = new Harness({ maxInFlight: 2 });
    harness.request();
    harness.request();
    const refused = harness.request();
    await settled();
    expect(refused.outcome).toMatchObject({ code: 'ERR_HAWSER_QUEUE_FULL' });
    expect(harness.sent).toEqual([1, 2]);
    harness.requests.settle(success(1));
    harness.request();
    expect(harness.sent).toEqual([1, 2, 3]);
  });

  test('an error of sending rejects the request with it, and nothing of it stays', async () => {
    const harness = new Harness();
    const { signal, listeners } = countingSignal();
    const broken = new Error('no socket');
    const made = harness.requests.request(
      () => {
        throw broken;
      },
      { signal },
    );
    await expect(made).rejects.toBe(broken);
    expect(harness.requests.size).toBe(0);
    expect(listeners()).toBe(0);
    expect(harness.requests.settle(success(1))).toBe(false);
  });

  test('an error of sending after the response does not touch the next request with the id', async () => {
    const harness = new Harness({ leastMessageId: 0xffff_ffff, maxInFlight: 1 });
    const next: { outcome: Outcome }[] = [];
    const made = harness.requests.request((id) => {
      harness.requests.settle(success(id));
      next.push(harness.request());
      throw new Error('too late');
    });
    await expect(made).resolves.toEqual(success(0xffff_ffff));
    expect(harness.sent).toEqual([0xffff_ffff]);
    expect(harness.requests.settle(success(0xffff_ffff, 'next'))).toBe(true);
    await settled();
    expect(next[0]?.outcome).toEqual(success(0xffff_ffff, 'next'));
  });

  test('an error of sending after the response is too late', async () => {
    const harness = new Harness();
    const made = harness.requests.request((id) => {
      harness.requests.settle(success(id));
      throw new Error('too late');
    });
    await expect(made).resolves.toEqual(success(1));
  });

  test.each([
    [{ timeoutMs: 0 }, 'timeoutMs'],
    [{ timeoutMs: Number.NaN }, 'timeoutMs'],
    [{ timeoutMs: 2 ** 32 }, 'timeoutMs'],
    [{ timeout: 5 }, "did you mean 'timeoutMs'?"],
    [{ signal: {} }, 'signal must be an AbortSignal'],
  ])('the options %o are refused', async (options, words) => {
    const harness = new Harness();
    // As JavaScript passes them.
    const made = harness.request(options as RequestOptions);
    await settled();
    expect(made.outcome).toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    expect(String(made.outcome)).toContain(words);
    expect(harness.sent).toEqual([]);
  });

  test.each([
    { timeoutMs: 0 },
    { maxInFlight: 0 },
    { leastMessageId: 0 },
    { leastMessageId: 0xffff_ffff },
    { firstMessageId: 0 },
    { firstMessageId: 3, leastMessageId: 4 },
    { firstMessageId: 2 ** 32 },
    { unexpectedReply: 5 },
    { wheel: {} },
    { maxInflight: 5 },
  ])('there are no PendingRequests with %o', (options) => {
    const wheel = new VirtualTime().wheel;
    expect(() => new PendingRequests({ wheel, ...options } as PendingRequestsOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
  });
});

test('whatever happens in whatever order, every request has one outcome and leaves nothing behind', async () => {
  for (let seed = 1; seed <= 50; ++seed) {
    const random = seededRandom(seed);
    const below = (count: number): number => Math.floor(random() * count);
    const harness = new Harness({ timeoutMs: 200, maxInFlight: 20, firstMessageId: 0xffff_ffff - below(50) });
    const made: { outcome: Outcome }[] = [];
    const aborts: { readonly controller: AbortController; readonly id: number }[] = [];
    /** When the requests that wait are due, by id. */
    const due = new Map<number, number>();
    for (let step = 0; step < 200; ++step) {
      const what = below(20);
      if (what < 9) {
        const controller = new AbortController();
        const timeoutMs = what < 6 ? 200 : 1 + below(300);
        const { length } = harness.sent;
        made.push(harness.request(what < 3 ? undefined : { signal: controller.signal, timeoutMs }));
        const id = harness.sent.at(-1) ?? 0;
        if (harness.sent.length > length) due.set(id, harness.time.nowMs + timeoutMs);
        if (what >= 3 && harness.sent.length > length) aborts.push({ controller, id });
      } else if (what < 15) {
        const id = harness.sent[below(harness.sent.length)] ?? 0;
        harness.requests.settle(what < 12 ? success(id) : refusal(id, 'BUSY'));
        due.delete(id);
      } else if (what < 17) {
        const [aborted] = aborts.splice(below(aborts.length), 1);
        aborted?.controller.abort();
        due.delete(aborted?.id ?? 0);
      } else if (what < 19) harness.time.runTo(harness.time.nowMs + below(60));
      else if (below(5) === 0) {
        harness.requests.rejectAll(connectionLostError());
        due.clear();
      }
      for (const [id, dueMs] of due) if (dueMs <= harness.time.nowMs) due.delete(id);
      expect(harness.requests.size, `seed ${seed}`).toBe(due.size);
      // One for all that have no timeout of their own.
      expect(harness.time.wheel.size, `seed ${seed}`).toBeLessThanOrEqual(due.size + 1);
    }
    await harness.runTo(harness.time.nowMs + 300);
    expect(
      made.filter(({ outcome }) => outcome === 'pending'),
      `seed ${seed}`,
    ).toEqual([]);
    expect([harness.requests.size, harness.time.wheel.size], `seed ${seed}`).toEqual([0, 0]);
    expect(harness.sent, `seed ${seed}`).not.toContain(0);
  }
});
