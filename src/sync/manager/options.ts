// What a manager can be told about how it is to work.

import {
  argumentError,
  checkFunction,
  checkInteger,
  checkNumber,
  checkOptions,
  describe,
} from '../../base/check.js';
import { type Random, systemRandom } from '../../base/random.js';
import { systemWheel, TimingWheel } from '../../base/timing-wheel.js';
import type { SyncStore } from '../store/store.js';
import type { DataItem, Start } from '../wire/messages.js';
import { limits } from '../wire/messages.js';
import type { QuotaLimits } from './quotas.js';

/** Options of {@link SyncManager}. */
export interface SyncManagerOptions {
  /** Where Data are staged and applied. It stays open when the manager is closed. */
  readonly store: SyncStore;
  /** Sessions of all agents at a time, 1 to 100,000; 1,000 by default. Further agents wait for their turn. */
  readonly maxSessions?: number;
  /** Sessions of one agent at a time, 1 to 1,024; 8 by default. */
  readonly sessionsPerAgent?: number;
  /** Items of all sessions that have begun and not ended, 1 to 2^32; 16 times `maxItemsPerAgent`, and at least 32,000,000, by default. */
  readonly maxItems?: number;
  /** Items of one agent's, 1 to `maxItems`; a quarter of that, and at most 2,000,000, by default. A session that is larger is refused for good. */
  readonly maxItemsPerAgent?: number;
  /** Bytes of all messages that are staged, 1 to 2^53 - 1; four times `maxBytesPerAgent`, and at least 4 GiB, by default. */
  readonly maxBytes?: number;
  /** Bytes of one agent's, 1 to `maxBytes`; a quarter of that, and at most 1 GiB, by default. A session that is larger is ended. */
  readonly maxBytesPerAgent?: number;
  /**
   * Bytes of messages that have come and that the disk has not taken yet, 1,048,576 to 2^53 - 1; 64 MiB by default. What comes beyond that is
   * dropped, and asked for again once the disk has made up for it.
   */
  readonly maxUnwrittenBytes?: number;
  /** Sessions that are applied at a time, one of each agent, 1 to 1,024; 64 by default. */
  readonly maxCommits?: number;
  /** After how long without new Data a session is forgotten, in milliseconds, 1,000 to 604,800,000; 1,200,000 (20 minutes) by default. */
  readonly sessionTimeoutMs?: number;
  /**
   * How long to wait after End for Data that were sent before it and may come after it, in milliseconds since the last of them, 0 to 60,000;
   * 100 by default. Never more than 2,000 in all, or this where it is more.
   */
  readonly reqRetDelayMs?: number;
  /** How often Data are asked for again without any new coming, 1 to 1,000; 8 by default. Then the session has failed. */
  readonly maxRounds?: number;
  /** How often an agent is told that its session is being applied, in milliseconds, 100 to 3,600,000; 5,000 by default. */
  readonly processingIntervalMs?: number;
  /**
   * How long a Start whose turn is near is held without an answer, in milliseconds, 0 to 60,000; 5,000 by default. Less than agents wait for
   * StartAck; 0 to answer at once.
   */
  readonly holdMs?: number;
  /**
   * Whether an agent may write an index, and ask for its checksum: asked for each index of a session, perhaps several times. It must
   * return at once, and exactly `true` for yes: where it throws, or returns a promise or anything else, the answer is no. Every index by
   * default.
   */
  readonly allowIndex?: (agent: string, index: string) => boolean;
  /**
   * Told of each METADATA and GROUP session, once it is in the store and before the agent hears so; when it throws or rejects the agent is
   * told to try again later. So it is when that takes longer than a minute; until then the agent's other sessions wait. Perhaps more than
   * once.
   */
  readonly onMetadata?: (agent: string, start: Start) => void | Promise<void>;
  /**
   * Told of each DataContext of a session while that is applied: documents that others are to be seen with, which are not stored. Its `data`
   * are valid during the call. Perhaps more than once, when applying had to be begun again. Nothing waits for what it returns.
   */
  readonly onContext?: (agent: string, module: string, item: ContextItem) => void;
  /** Where its timers run; one for the whole process by default. */
  readonly wheel?: TimingWheel;
  /** Where the spread of `retryAfterMs` is taken from; {@link systemRandom} by default. */
  readonly random?: Random;
}

/** What a DataContext says. */
export type ContextItem = Extract<DataItem, { kind: 'context' }>;

/** The options with their defaults. */
export interface ManagerSettings extends QuotaLimits {
  readonly store: SyncStore;
  readonly maxUnwrittenBytes: number;
  readonly maxCommits: number;
  readonly sessionTimeoutMs: number;
  readonly reqRetDelayMs: number;
  readonly maxRounds: number;
  readonly processingIntervalMs: number;
  readonly holdMs: number;
  readonly allowIndex: (agent: string, index: string) => boolean;
  readonly onMetadata: (agent: string, start: Start) => void | Promise<void>;
  readonly onContext: (agent: string, module: string, item: ContextItem) => void;
  readonly wheel: TimingWheel;
  readonly random: Random;
}

const optionNames = [
  'store',
  'maxSessions',
  'sessionsPerAgent',
  'maxItems',
  'maxItemsPerAgent',
  'maxBytes',
  'maxBytesPerAgent',
  'maxUnwrittenBytes',
  'maxCommits',
  'sessionTimeoutMs',
  'reqRetDelayMs',
  'maxRounds',
  'processingIntervalMs',
  'holdMs',
  'allowIndex',
  'onMetadata',
  'onContext',
  'wheel',
  'random',
] as const;
const minuteMs = 60_000;
const weekMs = 604_800_000;
const gib = 2 ** 30;
const usualItemsPerAgent = 2_000_000;
const usualBytesPerAgent = gib;
/** What one agent may take is so small a part of the whole that it alone keeps nobody out. What a Start announces costs a bit for each item. */
const agentsOfItems = 16;
const agentsOfBytes = 4;
const leastAgents = 4;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkManagerOptions(options: SyncManagerOptions): ManagerSettings {
  checkOptions('options', options, optionNames);
  const integer = (name: keyof SyncManagerOptions, usual: number, min: number, max: number): number =>
    checkInteger(name, options[name] ?? usual, min, max);
  const ms = (name: keyof SyncManagerOptions, usual: number, min: number, max: number): number =>
    checkNumber(name, options[name] ?? usual, min, max);
  const share = (
    [whole, part]: readonly ['maxItems', 'maxItemsPerAgent'] | readonly ['maxBytes', 'maxBytesPerAgent'],
    usualPart: number,
    agents: number,
    most: number,
  ): [number, number] => {
    const usual = Math.max(usualPart, integer(part, usualPart, 1, most)) * agents;
    const ofAll = integer(whole, Math.min(usual, most), 1, most);
    return [ofAll, integer(part, Math.min(usualPart, Math.ceil(ofAll / leastAgents)), 1, ofAll)];
  };
  const [maxItems, maxItemsPerAgent] = share(
    ['maxItems', 'maxItemsPerAgent'],
    usualItemsPerAgent,
    agentsOfItems,
    limits.items,
  );
  const [maxBytes, maxBytesPerAgent] = share(
    ['maxBytes', 'maxBytesPerAgent'],
    usualBytesPerAgent,
    agentsOfBytes,
    Number.MAX_SAFE_INTEGER,
  );
  return {
    store: checkStore(options.store),
    maxSessions: integer('maxSessions', 1000, 1, 100_000),
    sessionsPerAgent: integer('sessionsPerAgent', 8, 1, 1024),
    maxItems,
    maxItemsPerAgent,
    maxBytes,
    maxBytesPerAgent,
    maxUnwrittenBytes: integer('maxUnwrittenBytes', 2 ** 26, 2 ** 20, Number.MAX_SAFE_INTEGER),
    maxCommits: integer('maxCommits', 64, 1, 1024),
    sessionTimeoutMs: ms('sessionTimeoutMs', 20 * minuteMs, 1000, weekMs),
    reqRetDelayMs: ms('reqRetDelayMs', 100, 0, minuteMs),
    maxRounds: integer('maxRounds', 8, 1, 1000),
    processingIntervalMs: ms('processingIntervalMs', 5000, 100, 60 * minuteMs),
    holdMs: ms('holdMs', 5000, 0, minuteMs),
    allowIndex: checkFunction('allowIndex', options.allowIndex ?? (() => true)),
    onMetadata: checkFunction('onMetadata', options.onMetadata ?? (() => undefined)),
    onContext: checkFunction('onContext', options.onContext ?? (() => undefined)),
    wheel: checkWheel(options.wheel ?? systemWheel()),
    random: checkFunction('random', options.random ?? systemRandom),
  };
}

function checkStore(store: SyncStore): SyncStore {
  if (typeof store?.commit === 'function' && typeof store.stage === 'function') return store;
  throw argumentError('store', 'a SyncStore', describe(store));
}

function checkWheel(wheel: TimingWheel): TimingWheel {
  if (wheel instanceof TimingWheel) return wheel;
  throw argumentError('wheel', 'a TimingWheel', describe(wheel));
}
