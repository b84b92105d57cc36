// What an agent can be told about how it is to sync.

import { Backoff, type BackoffOptions } from '../../base/backoff.js';
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkText,
} from '../../base/check.js';
import type { SyncQueue } from '../queue/queue.js';
import { type AgentMetadata, limits } from '../wire/messages.js';

/** Options of `SyncClient.agent`. */
export interface SyncAgentOptions {
  /** The name of the module, 1 to 256 bytes of UTF-8: the manager keeps the sessions of modules apart. */
  readonly module: string;
  /** Where its differences wait. Without one, only what is in memory can be sent. It stays open when the agent is closed. */
  readonly queue?: SyncQueue;
  /**
   * What Start says of the agent, or a function that gives it, asked before each sync. While it gives undefined, Start waits, and it is
   * asked again each second. Nothing by default.
   */
  readonly metadata?: AgentMetadata | (() => AgentMetadata | undefined | Promise<AgentMetadata | undefined>);
  /**
   * How long to wait for StartAck and EndAck, in milliseconds, 1 to 3,600,000; 30,000 by default (source document, "Timeout Handling").
   */
  readonly responseTimeoutMs?: number;
  /**
   * How often Start and End are sent again, and how often a session is begun again that the manager has forgotten, 0 to 1,000; 3 by
   * default, which makes four in all.
   */
  readonly retries?: number;
  /**
   * How the waits for an answer grow with each that was in vain. By default they do not: each is `responseTimeoutMs` and, by chance, up
   * to a quarter more. `initialMs` is `responseTimeoutMs` unless given here.
   */
  readonly backoff?: BackoffOptions;
  /** Items per second, 0 to 1,000,000,000; so many may go at once after a pause. 0, the default: no limit. */
  readonly eps?: number;
  /** Whether values share messages, as many as there is room for. True by default. */
  readonly batching?: boolean;
  /** How long a message with several values may get, in bytes, 1,024 to 61,440; 61,440 by default. */
  readonly batchBytes?: number;
  /**
   * How Data travel. `reliable`: in order, each exactly once. `unreliable`: some may be lost and are asked for by ReqRet, and are then sent
   * reliably; where the connection cannot do that, it is `reliable`. What does not fit into one datagram is always sent reliably.
   */
  readonly data?: 'reliable' | 'unreliable';
  /** How long to wait between the last Data and the first End, in milliseconds, 0 to 3,600,000; 0 by default. */
  readonly endDelayMs?: number;
  /** Whether to wait, and try again, when the manager answers that it cannot now and says when it may. True by default. */
  readonly waitForAdmission?: boolean;
  /**
   * For how long to do that at most, in milliseconds, 1 to 86,400,000; 600,000 by default. It begins anew each time the manager has got
   * further with the session than ever before.
   */
  readonly admissionTimeoutMs?: number;
  /** How often the manager may ask for Data again without having got any further, 1 to 1,000; 5 by default. */
  readonly maxRounds?: number;
  /**
   * How long a manager that has everything may be silent while it applies it, in milliseconds, 1 to 86,400,000; 900,000 by default. While it
   * says now and then that it goes on, nothing but `stop` and the signal of the call ends the wait.
   */
  readonly processingTimeoutMs?: number;
}

/** The options with their defaults. */
export interface AgentSettings {
  readonly module: string;
  readonly queue: SyncQueue | undefined;
  readonly metadata: () => AgentMetadata | undefined | Promise<AgentMetadata | undefined>;
  readonly responseTimeoutMs: number;
  readonly retries: number;
  readonly backoff: BackoffOptions;
  readonly eps: number;
  readonly batching: boolean;
  readonly batchBytes: number;
  readonly data: 'reliable' | 'unreliable';
  readonly endDelayMs: number;
  readonly waitForAdmission: boolean;
  readonly admissionTimeoutMs: number;
  readonly maxRounds: number;
  readonly processingTimeoutMs: number;
}

const optionNames = [
  'module',
  'queue',
  'metadata',
  'responseTimeoutMs',
  'retries',
  'backoff',
  'eps',
  'batching',
  'batchBytes',
  'data',
  'endDelayMs',
  'waitForAdmission',
  'admissionTimeoutMs',
  'maxRounds',
  'processingTimeoutMs',
] as const;
const hourMs = 3_600_000;
const dayMs = 86_400_000;
const maxEps = 1_000_000_000;
const leastBatchBytes = 1024;
const mostBatchBytes = 61_440;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkAgentOptions(options: SyncAgentOptions): AgentSettings {
  checkOptions('options', options, optionNames);
  const responseTimeoutMs = checkNumber('responseTimeoutMs', options.responseTimeoutMs ?? 30_000, 1, hourMs);
  return {
    module: checkText('module', options.module, limits.moduleBytes),
    queue: options.queue && checkQueue(options.queue),
    metadata: checkMetadata(options.metadata ?? {}),
    responseTimeoutMs,
    retries: checkInteger('retries', options.retries ?? 3, 0, 1000),
    backoff: backoffOf(responseTimeoutMs, options.backoff ?? {}),
    eps: checkInteger('eps', options.eps ?? 0, 0, maxEps),
    batching: checkBoolean('batching', options.batching ?? true),
    batchBytes: checkInteger(
      'batchBytes',
      options.batchBytes ?? mostBatchBytes,
      leastBatchBytes,
      mostBatchBytes,
    ),
    data: checkOneOf('data', options.data ?? 'reliable', ['reliable', 'unreliable']),
    endDelayMs: checkNumber('endDelayMs', options.endDelayMs ?? 0, 0, hourMs),
    waitForAdmission: checkBoolean('waitForAdmission', options.waitForAdmission ?? true),
    admissionTimeoutMs: checkNumber('admissionTimeoutMs', options.admissionTimeoutMs ?? 600_000, 1, dayMs),
    maxRounds: checkInteger('maxRounds', options.maxRounds ?? 5, 1, 1000),
    processingTimeoutMs: checkNumber('processingTimeoutMs', options.processingTimeoutMs ?? 900_000, 1, dayMs),
  };
}

/** What an agent asks a queue for. */
const queueMethods = [
  'submit',
  'fetchAndMarkForSync',
  'markSent',
  'markKnown',
  'beginFull',
  'endFull',
  'clearSyncedItems',
  'resetSyncingItems',
  'park',
  'nextGeneration',
  'raiseGeneration',
  'mark',
  'clearItemsByIndex',
  'fetchPendingItems',
  'close',
] as const satisfies readonly (keyof SyncQueue)[];

function checkQueue(queue: SyncQueue): SyncQueue {
  for (const name of queueMethods) checkFunction(`queue.${name}`, queue[name]);
  return queue;
}

function checkMetadata(metadata: NonNullable<SyncAgentOptions['metadata']>): AgentSettings['metadata'] {
  if (typeof metadata === 'function') return metadata;
  checkOptions('metadata', metadata, metadataNames);
  return () => metadata;
}

const metadataNames = [
  'architecture',
  'hostname',
  'osName',
  'osPlatform',
  'osType',
  'osVersion',
  'agentVersion',
  'agentName',
  'agentId',
  'groups',
  'clusterName',
  'clusterNode',
] as const satisfies readonly (keyof AgentMetadata)[];

function backoffOf(responseTimeoutMs: number, backoff: BackoffOptions): BackoffOptions {
  checkOptions('backoff', backoff, ['initialMs', 'maxMs', 'multiplier', 'jitter']);
  const initialMs = backoff.initialMs ?? responseTimeoutMs;
  const checked = { initialMs, maxMs: initialMs, ...backoff };
  new Backoff(checked);
  return checked;
}
