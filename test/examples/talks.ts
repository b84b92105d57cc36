// Conversations of clients with a server, and how slow clients end.

import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import { hawserConnector, InteractionClient, StatusError } from '../../src/interaction/index.js';
import type { Request } from '../../src/interaction/messages.js';
import { SessionClient, SessionUserError, sessionConnector } from '../../src/sessions/index.js';
import { encodeClientMessage } from '../../src/sessions/wire/codec.js';
import {
  type ClientMessage,
  deliveryCapability,
  hawserCapability,
} from '../../src/sessions/wire/messages.js';
import { encodeMessage } from '../../src/sync/wire/codec.js';
import { MeterAgent } from '../gateway/layer-clients.js';
import { ask, HonestClient, type WireMessage } from './slow-clients.js';
import { type Ending, type ServedAddress, tokenFor } from './watched-program.js';

const MiB = 1024 * 1024;
export const defaultQueuedBytes = 16 * MiB;
export const slowConsumer = 10;
export const clientIds = { honest: 9001n, hearer: 9002n, paused: 9003n, mute: 9004n } as const;

export interface Honest {
  /** Resolves with the answer to one more question. */
  ask(): Promise<void>;
  close(): Promise<void>;
}

/** Messages of the clients of a server, and how the slow clients end. */
export interface Talk {
  honest(server: ServedAddress): Promise<Honest>;
  /** Messages of each slow client: the answers to them exceed the limits, or are as many as a test has time for. */
  flood(): Iterable<WireMessage>;
  /** True where slow clients are sent something whatever they send. */
  readonly sendsByItself?: boolean;
  /** Bytes that are held for each slow client in the end, where it is not disconnected. */
  readonly untilBytes?: number;
  readonly ends: { readonly paused: Ends; readonly mute: Ends };
}

/**
 * How the connection of a slow client ends; or why the server need not have too much for it. With `maySlow`, a fast machine may fill its queue
 * all the same: then it ends with SLOW_CONSUMER.
 */
type Ends = Partial<Ending> | { readonly bounded: string; readonly maySlow?: true };
const both = (ends: Ends): Talk['ends'] => ({ paused: ends, mute: ends });

const disconnected = both({ code: slowConsumer });
const unreliableReason = 'unreliable messages leave at the end of the turn; none waits for a client';
/** More short messages than it takes to fill a queue with answers to them. */
const shortMessages = 400_000;
/** Requests of a client whose queue they need not fill. */
const sessionRequests = 5000;
/** The default of `highWaterBytes`, above which send() returns false. */
const highWaterBytes = MiB / 4;

/** Enough of one message to fill the queues of a server twice. */
function* repeated(message: WireMessage, count: number): Iterable<WireMessage> {
  for (let sent = 0; sent < count; ++sent) yield message;
}

export interface Spoken {
  readonly channel: string;
  /** Bytes of a message with this text. */
  readonly encode: (text: string) => Uint8Array;
  /** To whom an answer goes; `all` who are connected, or `others` than the one who asked. */
  readonly hearers?: 'all' | 'others';
}

export const jsonOf = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
export const longTextBytes = 32_000;

async function honestSpeaker(
  server: ServedAddress,
  spoken: Spoken,
  mayBeLost: boolean,
  padding = '',
): Promise<Honest> {
  const { channels } = server;
  const asker = await HonestClient.connect(await tokenFor(server, clientIds.honest), channels);
  const hearer =
    spoken.hearers === 'others'
      ? await HonestClient.connect(await tokenFor(server, clientIds.hearer), channels)
      : asker;
  let asked = 0;
  return {
    async ask() {
      const text = `<${++asked}>`;
      const question = { channel: spoken.channel, data: spoken.encode(`${text}${padding}`) };
      await ask(asker, hearer, question, text, mayBeLost);
    },
    async close() {
      await asker.close();
      await hearer.close();
    },
  };
}

/** A server that echoes messages on a reliable channel. */
export function reliableTalk(spoken: Spoken): Talk {
  const data = spoken.encode('x'.repeat(longTextBytes));
  return {
    honest: (server) => honestSpeaker(server, spoken, false),
    flood: () => repeated({ channel: spoken.channel, data }, (3 * defaultQueuedBytes) / longTextBytes),
    ends: disconnected,
  };
}

/**
 * A server that tells everyone what one client says. The honest client says enough for the queues of the slow ones, one message after the
 * other: it has heard each before it sends the next.
 */
export function broadcastTalk(spoken: Spoken): Talk {
  return {
    honest: (server) => honestSpeaker(server, spoken, false, 'x'.repeat(longTextBytes)),
    flood: () => [],
    sendsByItself: true,
    ends: disconnected,
  };
}

/** A server that reads no more of a client that does not read. */
export function pausingTalk(spoken: Spoken): Talk {
  const ends = both({ bounded: 'the server pauses the channel of a client for which enough waits' });
  return { ...reliableTalk(spoken), untilBytes: highWaterBytes, ends };
}

/** A server that echoes messages on an unreliable channel. */
export function unreliableTalk(channel: string): Talk {
  const spoken = { channel, encode: (text: string) => Buffer.from(text) };
  return {
    honest: (server) => honestSpeaker(server, spoken, true),
    flood: () => repeated({ channel, data: new Uint8Array(1000) }, 2000),
    ends: both({ bounded: unreliableReason }),
  };
}

/** A server that sends by itself and waits for room, so that no queue fills. */
export function pushing(): Talk {
  return {
    async honest(server) {
      const client = await HonestClient.connect(await tokenFor(server, clientIds.honest), server.channels);
      return { ask: () => client.hears(''), close: () => client.close() };
    },
    flood: () => [],
    untilBytes: highWaterBytes,
    ends: both({ bounded: 'it sends while send() returns true, and then waits for room' }),
  };
}

/** A server that sends to everyone by itself, on an unreliable channel. */
export const ticking: Talk = {
  honest: pushing().honest,
  flood: () => repeated({ channel: 'default', data: Uint8Array.of(1) }, 1000),
  ends: both({ bounded: unreliableReason }),
};

export interface Device {
  readonly endpoint: number;
  readonly feature: number;
}

/** The layer interaction: each request has an answer, and a subscriber is notified of changes. */
export function interactionTalk({ endpoint, feature }: Device): Talk {
  const codec = hawserCodec();
  const request = (message: Request): WireMessage => ({
    channel: 'interaction',
    data: codec.encode(message).slice(),
  });
  return {
    async honest(server) {
      const token = await tokenFor(server, clientIds.honest);
      const client = new InteractionClient({ connector: hawserConnector(token) });
      await client.connect();
      return {
        async ask() {
          // A server that has no attributes answers that.
          await client.read(endpoint, feature).catch((error: unknown) => {
            if (!(error instanceof StatusError)) throw error;
          });
        },
        close: () => client.close(),
      };
    },
    *flood() {
      const about = { endpoint, feature, attributes: [] };
      yield request({ type: 'request', messageId: 1, operation: 'subscribe', minIntervalMs: 0, ...about });
      yield* repeated(request({ type: 'request', messageId: 2, operation: 'read', ...about }), shortMessages);
    },
    ends: disconnected,
  };
}

/** The layer sessions, with requests of which nothing is kept. @param requestBytes of a request; its answer may be as long. */
export function sessionsTalk(requestBytes: number): Talk {
  const isShort = requestBytes < longTextBytes;
  const pace = 'requests beyond 356 that wait are dropped, and answers come at the pace of the store';
  const credit = 'its credit, which is at least one longest message of 10 MiB, takes all of these answers';
  const frame = (message: ClientMessage): WireMessage => ({
    channel: 'session',
    data: encodeClientMessage(message),
  });
  return {
    async honest(server) {
      const token = await tokenFor(server, clientIds.honest);
      const client = new SessionClient({ connector: sessionConnector(token) });
      await client.connect();
      return {
        async ask() {
          // An application may answer with an error of its own.
          await client.request(new Uint8Array(1)).catch((error: unknown) => {
            if (!(error instanceof SessionUserError)) throw error;
          });
        },
        close: () => client.close(),
      };
    },
    *flood() {
      const capabilities = new Map([
        [hawserCapability.name, hawserCapability.value],
        [deliveryCapability, 'at-most-once'],
      ]);
      yield frame({ type: 'CreateSession', capabilities, nonce: 1n });
      const payload = new Uint8Array(requestBytes);
      const count = isShort ? sessionRequests : shortMessages;
      for (let requestId = 0; requestId < count; ++requestId)
        yield frame({
          type: 'ClientRequest',
          requestId,
          lowestPendingRequestId: requestId,
          payload,
          createdAt: 0,
        });
    },
    ends: isShort ? { paused: { bounded: credit }, mute: { bounded: pace, maySlow: true } } : disconnected,
  };
}

/** The layer sync: an End of a session that does not exist has an answer. */
export const syncTalk: Talk = {
  async honest(server) {
    const agent = new MeterAgent(await tokenFor(server, clientIds.honest));
    let told = 0;
    await agent.client.connect();
    return { ask: () => agent.tell('cellar', `{"kWh":${++told}}`), close: () => agent.client.close() };
  },
  flood: () =>
    repeated({ channel: 'sync', data: encodeMessage({ type: 'End', session: 1n }) }, shortMessages),
  ends: disconnected,
};
