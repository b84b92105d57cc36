import { basename, dirname, join } from 'node:path';
import { formatAddress } from '../../base/address.js';
import { HawserError, type HawserErrorCode } from '../../base/errors.js';
import type { SyncAgent } from '../../sync/agent/agent.js';
import type { SyncResult } from '../../sync/agent/results.js';
import { SyncClient } from '../../sync/agent/sync-client.js';
import { syncConnector } from '../../sync/over-hawser.js';
import { checksumOf, documentSha1 } from '../../sync/store/checksum.js';
import { limits } from '../../sync/wire/messages.js';
import { createTokenMinter } from '../../token/mint.js';
import { wireOfToken } from '../../token/netcode-format.js';
import { decodeToken } from '../../token/open.js';
import type { ServerKey } from '../../token/server-key.js';
import { ConnectError } from '../../transport/connect-error.js';
import type { TokenSource } from '../../transport/token-source.js';
import { type Command, defineCommand } from '../command.js';
import { CommandError, exitCodes, UsageError } from '../errors.js';
import { impairmentNotice, simulateOption } from '../network-profile.js';
import {
  address,
  choice,
  content,
  duration,
  flag,
  integer,
  list,
  name,
  optional,
  serverKey,
  text,
  u64,
  type Values,
  withDefault,
} from '../options.js';
import { PushProgress } from '../push-progress.js';
import { type LongDocument, openSource, type Source } from '../push-source.js';
import { type Comparison, PushState, type Target } from '../push-state.js';
import { pause, watchSignals } from '../signals.js';
import { bytes, count, printable, printableJson } from '../terminal.js';
import { keyOrEnvironment, wireOf } from '../tokens.js';
import { connectFailure } from '../wires.js';

const options = {
  to: list(
    address(),
    'with a key: the manager, or several addresses of it to try in this order; with a token, which lists them, a check',
  ),
  token: optional(content('TOKEN|@FILE|-'), 'connect with this token'),
  key: optional(
    serverKey,
    'without a token: server key to mint tokens with; also read from the environment variable HAWSER_KEY',
  ),
  protocolId: withDefault(u64, '1', 'with a key: the application that the manager serves'),
  agent: optional(u64, 'with a key: who the agent is (default: who it was before, at first random)'),
  index: optional(
    name(limits.indexBytes),
    'the index of the documents (default: the name of the directory or file)',
  ),
  idField: withDefault(text('NAME'), 'id', 'of a file with lines: the field that is the id of a document'),
  module: withDefault(name(limits.moduleBytes), 'push', 'the module of the agent that they belong to'),
  state: optional(
    text('DIR'),
    'where to keep what waits and what was told (default: .NAME.hawser-sync beside the directory or file)',
  ),
  full: flag(
    'send every document, in place of all that the manager has of the index: for a manager that was replaced, or another manager, agent or module than before',
  ),
  deleteAll: flag(
    'go on when there is no document left: the manager deletes all that it has of the index. Without it, that is taken for a mistake',
  ),
  check: flag(
    'send nothing, only ask whether the manager has the same: exit code 1 when it has not; with --full, send everything then',
  ),
  data: withDefault(choice(['reliable', 'unreliable']), 'reliable', 'how documents travel'),
  eps: withDefault(integer(0, 1_000_000_000), '0', 'documents per second at most; 0 for no limit'),
  giveUp: withDefault(
    duration(1000, 86_400_000),
    '5m',
    'how long to go on trying while the manager cannot be reached or is busy',
  ),
  simulate: simulateOption,
  json: flag('print the result as a line of JSON, and no progress'),
};

export const syncPush: Command = defineCommand({
  name: 'sync push',
  summary: 'brings the documents of a directory or file to a manager',
  operand: 'DIR|FILE.ndjson',
  details: [
    'Each file *.json in DIR, and in the directories within, is a document with its relative path as id; of FILE.ndjson each line is one. Documents are JSON objects. What is new, different or gone since the last run is kept in a queue on the disk, and brought to the manager from there.',
    'Ctrl-C stops it; what waits is kept, and the next run goes on where this one was. The manager is what "hawser sync manager" runs, or a program of yours with hawser/sync.',
    'Exit code 0 when the manager has applied everything and has it on its disk.',
  ],
  options,
  run,
});

type PushValues = Values<typeof options>;

/** How often what may succeed another time is tried again. */
const retryMs = 1000;
/** Of so many documents each one that is too long is named. */
const namedDocuments = 10;

async function run(values: PushValues, operand: string): Promise<number> {
  const source = openSource(operand, values.idField);
  const identity = identityOf(values);
  const index = values.index ?? source.name;
  if (index === '') throw new UsageError('give --index: the source has no name');
  const progress = new PushProgress(process.stderr, values.json);
  const interruption = watchSignals(() => progress.end());
  if (values.simulate !== undefined) progress.note(impairmentNotice(values.simulate));
  const directory = values.state ?? join(dirname(source.path), `.${basename(source.path)}.hawser-sync`);
  let state = await PushState.open(directory);
  try {
    const { target, tokens } = await aimOf(identity, values, state);
    const before = state.otherThan(target);
    if (before !== undefined && values.full) {
      progress.note(`${directory} begins anew: what it held was told ${before}`);
      state = await state.anew();
    } else if (before !== undefined && !values.check) {
      throw new UsageError(
        `what ${directory} holds was told ${before}: give another --state, or --full to send everything anew`,
      );
    }
    const { signal } = interruption;
    const push = new Push(values, { source, index, state, target, progress, tokens, signal });
    return await push.run();
  } finally {
    progress.end();
    await state.close();
    interruption.dispose();
  }
}

// ---- Who the agent is ----------------------------------------------------------------------------------------------

type Token = Uint8Array | string;
type Identity = { readonly token: Token } | { readonly key: ServerKey };

/** @throws UsageError. */
function identityOf({ token, key, to, agent }: PushValues): Identity {
  if (token !== undefined) {
    if (key !== undefined) throw new UsageError('--key and --token exclude each other');
    if (agent !== undefined)
      throw new UsageError('--agent and --token exclude each other: the token says who it is');
    return { token: checkToken(token, to) };
  }
  const given = keyOrEnvironment(key);
  if (given === undefined) throw new UsageError('give --token, or --key (or HAWSER_KEY) and --to');
  if (to.length === 0) throw new UsageError('--key needs --to: the address of the manager');
  return { key: given };
}

function checkToken(given: Buffer, to: readonly string[]): Token {
  // A file may hold the bytes of a token, or its text.
  const token = wireOfToken(given) === undefined ? given.toString().trim() : given;
  if (wireOf(token) === 'netcode') throw new UsageError('--token: it is one of netcode, which cannot sync');
  const listed = addressesOf(token);
  const missing = to.find((each) => !listed.includes(each));
  if (missing === undefined) return token;
  throw new UsageError(`--to ${missing}: the token is for ${listed.join(', ')}; ask for one that lists it`);
}

function addressesOf(token: Token): string[] {
  return decodeToken(token).addresses.map((each) => formatAddress(each));
}

interface Aim {
  readonly target: Target;
  readonly tokens: TokenSource;
}

async function aimOf(identity: Identity, values: PushValues, state: PushState): Promise<Aim> {
  const { module } = values;
  if ('token' in identity) {
    const { token } = identity;
    const { protocolId } = decodeToken(token);
    return { target: { agent: undefined, module, protocolId, addresses: addressesOf(token) }, tokens: token };
  }
  const { protocolId, to: addresses } = values;
  const agent = values.agent ?? (await state.agentId());
  const minter = await createTokenMinter({ protocolId, key: identity.key, addresses });
  return {
    target: { agent, module, protocolId, addresses },
    tokens: () => minter.mint({ clientId: agent }),
  };
}

// ---- Pushing -------------------------------------------------------------------------------------------------------

/** What one run works with. */
interface PushSetup {
  readonly source: Source;
  readonly index: string;
  readonly state: PushState;
  readonly target: Target;
  readonly progress: PushProgress;
  readonly tokens: TokenSource;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** What all syncs of one run came to. */
interface Totals {
  items: number;
  bytes: number;
  retransmitted: number;
  rejected: number;
}

class Push {
  readonly #values: PushValues;
  readonly #setup: PushSetup;
  readonly #client: SyncClient;
  readonly #agent: SyncAgent;
  readonly #totals: Totals = { items: 0, bytes: 0, retransmitted: 0, rejected: 0 };
  /** When a sync was last further than ever before, and how far that is. */
  #advancedMs = 0;
  #furthest = 0;
  /** Why there is no connection. */
  #reason = 'the manager cannot be reached';

  constructor(values: PushValues, setup: PushSetup) {
    this.#values = values;
    this.#setup = setup;
    const { simulate } = values;
    this.#client = new SyncClient({
      connector: syncConnector(setup.tokens, simulate === undefined ? {} : { simulate: simulate.options }),
      reconnection: { reconnectAfter: (reason) => !isFinal(reason) },
    });
    this.#agent = this.#client.agent({
      module: values.module,
      queue: setup.state.queue,
      data: values.data,
      eps: values.eps,
      admissionTimeoutMs: values.giveUp,
    });
    this.#listen();
  }

  async run(): Promise<number> {
    try {
      return await (this.#values.check ? this.#check() : this.#push());
    } catch (error) {
      if (error instanceof Interrupted) return this.#interrupted();
      throw error;
    } finally {
      await this.#client.close();
    }
  }

  #listen(): void {
    const { progress } = this.#setup;
    this.#agent.on('progress', (now) => {
      const sent = this.#totals.items + now.sent;
      if (sent > this.#furthest) {
        this.#furthest = sent;
        this.#advancedMs = performance.now();
      }
      progress.syncing(now);
    });
    this.#agent.on('waiting', ({ retryAfterMs, reason }) => {
      progress.waiting(`the manager is busy (${reason})`, retryAfterMs);
    });
    this.#client.on('attemptFailed', (error) => {
      this.#reason = error instanceof HawserError ? connectFailure(error) : String(error);
    });
    this.#client.on('disconnected', (error) => {
      this.#reason = error instanceof Error ? error.message : 'the manager ended the connection';
    });
    this.#client.on('reconnecting', (_, delayMs) => progress.waiting(this.#reason, delayMs));
  }

  // ---- What is sent ------------------------------------------------------------------------------------------------

  async #push(): Promise<number> {
    const { state, progress } = this.#setup;
    const { syncing, pending } = state.queue.counts;
    if (syncing + pending > 0) {
      progress.note(`${count(syncing + pending)} items of an earlier run wait: this one goes on with them`);
    }
    const compared = await this.#compare();
    await this.#connect();
    // Before the first item leaves: until then nobody was told anything.
    await state.bind(this.#setup.target);
    if (this.#values.full) await this.#full();
    // Each makes what waits then its snapshot; that of an interrupted run goes first, alone.
    while (waitingItems(state) > 0) {
      await this.#untilDone(
        (options) => this.#agent.synchronizeModule('DELTA', options),
        (rejected) => state.addRejected(rejected),
      );
      // Each would find the manager to have it.
      if (state.queue.counts.syncing > 0) {
        throw new CommandError(
          `${state.queue.path} cannot be written: it keeps what the manager has${this.#kept()}`,
        );
      }
    }
    await state.emptied();
    progress.end();
    return this.#report(compared);
  }

  async #compare(): Promise<Comparison> {
    const { source, index, state, signal, progress } = this.#setup;
    const compared = await state.compare(source, index, signal, {
      read: (documents) => progress.reading(documents),
      found: ({ id, data }) => {
        if (this.#values.full) this.#agent.persistDifferenceInMemory(id, 'CREATE', index, data);
      },
      tooLong: this.#tooLong(),
      empty: (known) => this.#checkEmpty(known),
    });
    if (compared === undefined) throw new Interrupted();
    return compared;
  }

  /** A directory that is not mounted, say, is empty, too. */
  #checkEmpty(known: number): void {
    const { source, index } = this.#setup;
    if (this.#values.deleteAll || (known === 0 && !this.#values.full)) return;
    const lost =
      known === 0 ? `all that it has of ${index}` : `the ${count(known)} of ${index} that it was told`;
    throw new CommandError(
      `${source.path} has no documents, and the manager would delete ${lost}: give --delete-all if it is to`,
    );
  }

  /** In place of all that the manager has of the index: afterwards nothing of it has to wait. */
  async #full(): Promise<void> {
    const { index, state } = this.#setup;
    await this.#untilDone(
      this.#agent.inMemoryCount > 0
        ? (options) => this.#agent.synchronizeModule('FULL', options)
        : (options) => this.#agent.notifyDataClean([index], options),
      (rejected) => state.setRejected(index, rejected),
    );
    await state.queue.clearItemsByIndex(index);
  }

  async #check(): Promise<number> {
    const { source, index, state, target, progress, signal } = this.#setup;
    const sha1s = new Map<string, string>();
    const tooLong = this.#tooLong();
    for await (const document of source.documents()) {
      if (signal.aborted) throw new Interrupted();
      if (document.data === undefined) tooLong(document);
      else sha1s.set(document.id, documentSha1(document.data));
      progress.reading(sha1s.size);
    }
    const checksum = checksumOf(sha1s.values());
    await this.#connect();
    const verdict = await this.#agent.requiresFullSync(index, checksum, { signal });
    if (signal.aborted) throw new Interrupted();
    if (verdict === 'unknown') throw new CommandError('the manager did not say whether it has the same');
    progress.end();
    if (verdict === 'mismatch' && this.#values.full) {
      progress.note(`the manager has other documents of ${index}`);
      return this.#push();
    }
    const text =
      verdict === 'valid'
        ? `the manager has the same ${count(sha1s.size)} documents of ${index}`
        : `the manager has other documents of ${index}; --full replaces them`;
    if (verdict === 'valid' && state.otherThan(target) === undefined) await state.setRejected(index, 0);
    this.#print({ index, documents: sha1s.size, checksum, verdict }, text);
    return verdict === 'valid' ? exitCodes.ok : exitCodes.failure;
  }

  /** Names some documents that are too long. */
  #tooLong(): (document: LongDocument) => void {
    let named = 0;
    return ({ where, bytes: length }) => {
      if (++named > namedDocuments) return;
      this.#setup.progress.note(
        `${where}: ${bytes(length)} are too long, at most ${bytes(limits.dataBytes)} can be sent; it stays as the manager has it`,
      );
    };
  }

  // ---- Until it is done --------------------------------------------------------------------------------------------

  async #connect(): Promise<void> {
    const { signal, progress } = this.#setup;
    if (this.#client.state === 'CONNECTED') return;
    const limit = AbortSignal.timeout(this.#values.giveUp);
    progress.connecting();
    try {
      await this.#client.connect({ signal: AbortSignal.any([limit, signal]) });
    } catch (error) {
      if (signal.aborted) throw new Interrupted();
      if (!(error instanceof HawserError)) throw error;
      throw new CommandError(`${limit.aborted ? this.#reason : connectFailure(error)}${this.#kept()}`);
    }
  }

  /**
   * Again and again while another time may be better, until it has not got any further for too long.
   *
   * @param keep is told how many items the manager did not apply.
   */
  async #untilDone(
    sync: (options: { signal: AbortSignal }) => Promise<SyncResult>,
    keep: (rejected: number) => Promise<void>,
  ): Promise<void> {
    const { signal, progress } = this.#setup;
    this.#furthest = 0;
    this.#advancedMs = performance.now();
    for (;;) {
      const result = await sync({ signal });
      if (result.success || result.rejected > 0) await keep(result.rejected);
      if (result.stopped) throw new Interrupted();
      this.#count(result);
      if (result.success) return;
      const isLost = result.reason === 'NotConnected' || result.reason === 'Disconnected';
      const reason = isLost ? this.#reason : result.failureReason;
      const isOver =
        this.#client.state === 'DISCONNECTED' || performance.now() - this.#advancedMs > this.#values.giveUp;
      if (!result.managerNotReady || isOver) throw new CommandError(`${reason}${this.#kept()}`);
      if (!isLost) progress.waiting(reason, retryMs);
      await pause(retryMs, signal);
    }
  }

  #count({ toldItems, bytes: sentBytes, retransmitted, rejected }: SyncResult): void {
    this.#totals.items += toldItems;
    this.#totals.bytes += sentBytes;
    this.#totals.retransmitted += retransmitted;
    this.#totals.rejected += rejected;
  }

  // ---- Telling -----------------------------------------------------------------------------------------------------

  /** @returns the exit code. */
  #report(compared: Comparison): number {
    const { index, state } = this.#setup;
    const { items, bytes: sentBytes, rejected } = this.#totals;
    const { documents, created, modified, deleted, tooLong } = compared;
    const sent =
      items === 0
        ? 'The manager was told everything already'
        : `${count(items)} items (${bytes(sentBytes)}) are at the manager, on its disk`;
    const notApplied = Math.max(state.rejectedOf(index), rejected);
    const refused = rejected === 0 ? '' : `; it did not apply ${count(rejected)} of them`;
    const refusedBefore =
      notApplied === rejected
        ? ''
        : `; of earlier runs it did not apply ${count(notApplied - rejected)}: --full sends everything again`;
    const long = tooLong === 0 ? '' : `; ${count(tooLong)} are too long to be sent`;
    this.#print(
      { index, ...compared, ...this.#totals, notApplied },
      `${count(documents)} documents: ${count(created)} new, ${count(modified)} different, ${count(deleted)} gone. ${sent}${refused}${refusedBefore}${long}`,
    );
    return notApplied + tooLong > 0 ? exitCodes.failure : exitCodes.ok;
  }

  #interrupted(): number {
    const { progress } = this.#setup;
    progress.end();
    progress.note(`stopped${this.#kept()}`);
    return exitCodes.interrupted;
  }

  #kept(): string {
    if (this.#values.full) return '; nothing is lost: run the command again';
    const waiting = waitingItems(this.#setup.state);
    return waiting === 0 ? '' : `; ${count(waiting)} items wait here: run the command again to go on`;
  }

  #print(json: Readonly<Record<string, unknown>>, line: string): void {
    process.stdout.write(`${this.#values.json ? printableJson(JSON.stringify(json)) : printable(line)}\n`);
  }
}

/** Ctrl-C was pressed. */
class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

function waitingItems({ queue }: PushState): number {
  const { pending, syncing } = queue.counts;
  return pending + syncing;
}

const finalCodes: readonly HawserErrorCode[] = [
  'ERR_HAWSER_TOKEN_INVALID',
  'ERR_HAWSER_TOKEN_EXPIRED',
  'ERR_HAWSER_WIRE',
  'ERR_HAWSER_REPLACED',
  'ERR_HAWSER_ARGUMENT',
];

/** Whether another attempt to connect can only meet the same, or would end the connection of another run. */
function isFinal(reason: unknown): boolean {
  if (reason instanceof ConnectError && reason.denied === 'CHANNELS_MISMATCH') return true;
  return reason instanceof HawserError && finalCodes.includes(reason.code);
}
