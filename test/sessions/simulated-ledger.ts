// What is right: judged by the store's own history and by what clients and handlers saw, never by what a server says of itself.

import {
  counterKey,
  electionKey,
  gatewayKey,
  ownerKey,
  serverRequestKey,
} from '../../src/sessions/store/keys.js';
import {
  decodeLeader,
  decodeNumber,
  decodeOwner,
  decodeResponse,
  decodeServerRequest,
  type OwnerRecord,
} from '../../src/sessions/store/records.js';
import type { StoreLease, Transaction, TransactionResult, Write } from '../../src/sessions/store/store.js';
import type { Process } from './simulated-process.js';
import type { StoreHistory } from './simulated-store.js';

export interface LedgerRules {
  readonly cluster: 'active' | 'leader';
  readonly sessionTimeoutMs: number;
  readonly graceMs: number;
}

interface Kept {
  readonly value: Uint8Array;
  readonly revision: number;
  readonly lease: StoreLease | undefined;
}

/** A gateway's process and all leases that it was granted. */
interface GatewayLife {
  readonly name: string;
  readonly epochs: Set<string>;
  /** When it got the last one. */
  grantedMs: number;
  /** When it was elected, by the leases with which it was. */
  readonly electedMs: Map<string, number>;
  /** Of the sessions that it has or had: when its client was heard last, and when it was first and last about to expire it. */
  readonly heardMs: Map<string, number>;
  readonly expiringMs: Map<string, { readonly first: number; last: number }>;
}

/** So long a gateway may take to claim its sessions under another lease. */
const reclaimMs = 10_000;

/** The answer that a request has, if it is committed: result or error in the same form. */
type Answer = string;

export class Ledger implements StoreHistory {
  readonly problems: string[] = [];
  readonly #rules: LedgerRules;
  readonly #nowMs: () => number;
  readonly #kept = new Map<string, Kept>();
  readonly #gateways = new Map<Process, GatewayLife>();
  readonly #endedLeasesMs = new Map<string, number>();
  /** Committed requests: by their token, and by session and id. */
  readonly #committed = new Map<string, Answer>();
  readonly #outcomes = new Map<string, string>();
  readonly #heardTokens = new Set<string>();
  readonly #refusedTokens = new Set<string>();
  /** Sessions that clients know, and whether they asked to close them. */
  readonly #clients = new Map<string, { isClosing: boolean; delivered: number }>();
  readonly #ended = new Map<string, string>();
  readonly #serverRequests = new Map<string, string>();
  #counter = 0;

  constructor(rules: LedgerRules, nowMs: () => number) {
    this.#rules = rules;
    this.#nowMs = nowMs;
  }

  problem(what: string): void {
    if (this.problems.length < 20) this.problems.push(`${this.#nowMs().toFixed(3)} ms: ${what}`);
  }

  gateway(process: Process, name: string): void {
    const life = { name, epochs: new Set<string>(), grantedMs: 0, electedMs: new Map(), heardMs: new Map() };
    this.#gateways.set(process, { ...life, expiringMs: new Map() });
  }

  // ---- What clients see --------------------------------------------------------------------------------------------

  /** How many requests were committed that count. */
  get counter(): number {
    return this.#counter;
  }

  connected(sessionId: string): void {
    if (this.#clients.has(sessionId)) return;
    this.#clients.set(sessionId, { isClosing: false, delivered: 0 });
    if (!this.#kept.has(ownerKey(sessionId)) && !this.#ended.has(sessionId))
      this.problem(`${sessionId} was never in the store`);
  }

  /** Another process goes on with the session, and knows what was delivered up to then. */
  restarted(sessionId: string, delivered: number): void {
    const client = this.#clients.get(sessionId);
    if (client !== undefined && client.delivered !== delivered)
      this.problem(`${sessionId} goes on from ${delivered}, delivered are ${client.delivered}`);
  }

  closing(sessionId: string): void {
    const client = this.#clients.get(sessionId);
    if (client !== undefined) client.isClosing = true;
  }

  answered(token: string, answer: Answer): void {
    this.#heardTokens.add(token);
    const committed = this.#committed.get(token);
    if (committed !== answer) this.problem(`${token} was answered ${answer}, committed was ${committed}`);
  }

  /** The handler's failure was answered. */
  refused(token: string): void {
    this.#heardTokens.add(token);
    this.#refusedTokens.add(token);
    if (this.#committed.has(token)) this.problem(`${token} was committed, and refused`);
  }

  delivered(sessionId: string, requestId: number, text: string): void {
    const client = this.#clients.get(sessionId);
    const name = `server request ${requestId} of ${sessionId}`;
    if (client === undefined) {
      this.problem(`${name}: no client has that session`);
      return;
    }
    if (requestId !== client.delivered + 1) this.problem(`${name} came after ${client.delivered}`);
    client.delivered = requestId;
    const kept = this.#serverRequests.get(serverRequestKey(sessionId, requestId));
    if (kept !== text) this.problem(`${name} was ${text}, committed was ${kept}`);
  }

  isDelivered(sessionId: string): boolean {
    const last = this.#kept.get(counterKey(sessionId));
    return (last === undefined ? 0 : decodeNumber(last.value)) === this.#clients.get(sessionId)?.delivered;
  }

  /** Whether the session is over. */
  isOver(sessionId: string): boolean {
    return !this.#kept.has(ownerKey(sessionId));
  }

  /** Nobody waits for the answers to these any more. */
  abandoned(tokens: Iterable<string>): void {
    for (const token of tokens) this.#heardTokens.add(token);
  }

  get sessionIds(): readonly string[] {
    return Array.from(this.#clients.keys()).filter((id) => !this.isOver(id));
  }

  get keys(): ReadonlyMap<string, { readonly revision: number }> {
    return this.#kept;
  }

  // ---- What gateways hear and begin ------------------------------------------------------------------------------------

  /** A client's KeepAlive has come, or it was told that it has its session there. */
  heard(gateway: Process, sessionId: string): void {
    this.#lifeOf(gateway).heardMs.set(sessionId, this.#nowMs());
  }

  /** A gateway is about to expire a session: it asks its application what is to be said. */
  expiring(gateway: Process, sessionId: string): void {
    const life = this.#lifeOf(gateway);
    this.#mustHoldLease(life, `the end of ${sessionId}`);
    const { expiringMs } = life;
    const nowMs = this.#nowMs();
    const known = expiringMs.get(sessionId);
    if (known === undefined) expiringMs.set(sessionId, { first: nowMs, last: nowMs });
    else known.last = nowMs;
  }

  #lifeOf(process: Process): GatewayLife {
    const life = this.#gateways.get(process);
    if (life === undefined) throw new Error('the gateway is not known');
    return life;
  }

  // ---- The store -----------------------------------------------------------------------------------------------------

  granted(process: Process, lease: StoreLease): void {
    const life = this.#lifeOf(process);
    life.epochs.add(lease.epoch);
    life.grantedMs = this.#nowMs();
    const { key, revision } = lease.fence;
    this.#kept.set(key, { value: new Uint8Array(0), revision, lease });
  }

  leaseEnded(lease: StoreLease): void {
    this.#endedLeasesMs.set(lease.epoch, this.#nowMs());
    for (const [key, kept] of this.#kept) if (kept.lease?.epoch === lease.epoch) this.#kept.delete(key);
  }

  transacted(process: Process, transaction: Transaction, result: TransactionResult): void {
    if (!result.committed) return;
    const life = this.#lifeOf(process);
    for (const write of transaction.writes) this.#judge(life, write, transaction);
    for (const write of transaction.writes) this.#apply(life, write, result.revision);
  }

  #apply(life: GatewayLife, write: Write, revision: number): void {
    if (write.type === 'put') {
      this.#kept.set(write.key, { value: write.value, revision, lease: write.lease });
      if (write.key === electionKey('leader') && write.lease !== undefined)
        life.electedMs.set(write.lease.epoch, this.#nowMs());
    } else for (const key of this.#keysOf(write)) this.#kept.delete(key);
  }

  /** The keys that a deletion removes. */
  #keysOf(write: Exclude<Write, { type: 'put' }>): readonly string[] {
    if (write.type === 'delete') return this.#kept.has(write.key) ? [write.key] : [];
    return Array.from(this.#kept.keys()).filter((key) => key >= write.from && key < write.to);
  }

  #judge(life: GatewayLife, write: Write, transaction: Transaction): void {
    if (write.type === 'put') this.#judgePut(life, write.key, write.value, transaction);
    else for (const key of this.#keysOf(write)) this.#judgeDeletion(life, key, transaction);
  }

  #judgePut(life: GatewayLife, key: string, value: Uint8Array, transaction: Transaction): void {
    const [kind, ...rest] = key.split('/');
    const [sessionId = '', id = ''] = rest;
    if (kind !== 'g' && kind !== 'e') this.#mustHoldLease(life, key);
    if (kind === 'o') this.#judgeOwner(life, sessionId, value, transaction);
    else if (kind === 'p') this.#mustOwn(life, sessionId, key);
    else if (kind === 'r') this.#judgeOutcome(life, key, sessionId, value);
    else if (kind === 'q') this.#judgeServerRequest(key, sessionId, Number.parseInt(id, 16), value);
    else if (kind === 'a') this.#judgeApplication(life, rest, text(value));
  }

  #judgeDeletion(life: GatewayLife, key: string, transaction: Transaction): void {
    const { writes } = transaction;
    const [kind, sessionId = '', id = ''] = key.split('/');
    const isRemoval = writes.some((each) => each.type === 'delete' && each.key === ownerKey(sessionId));
    this.#mustHoldLease(life, key);
    if (kind === 'o') this.#judgeEnd(life, sessionId, transaction);
    else if (isRemoval) return;
    else if (kind === 'r') {
      this.#mustOwn(life, sessionId, key);
      const token = this.#outcomes.get(key);
      if (token === undefined || !this.#heardTokens.has(token))
        this.problem(`${life.name}: the outcome of ${token} is removed, and its client has not heard it`);
    } else if (kind === 'q') {
      this.#mustOwn(life, sessionId, key);
      const delivered = this.#clients.get(sessionId)?.delivered ?? 0;
      if (Number.parseInt(id, 16) > delivered) this.problem(`${life.name}: ${key} is removed, not delivered`);
    }
  }

  // ---- Who may do what -----------------------------------------------------------------------------------------------

  #ownerOf(sessionId: string): OwnerRecord | undefined {
    const kept = this.#kept.get(ownerKey(sessionId));
    return kept && decodeOwner(kept.value);
  }

  /** The epoch of the lease that a gateway of that name holds. */
  #epochOf(name: string): string | undefined {
    return this.#kept.get(gatewayKey(name))?.lease?.epoch;
  }

  /** Whether a transaction has compared the owner record. */
  #isSeen(id: string, { compare }: Transaction): boolean {
    const key = ownerKey(id);
    const revision = this.#kept.get(key)?.revision ?? 0;
    return compare.some((each) => each.key === key && each.revision === revision);
  }

  #isLeader({ epochs }: GatewayLife): boolean {
    const kept = this.#kept.get(electionKey('leader'));
    return kept !== undefined && epochs.has(decodeLeader(kept.value).epoch);
  }

  #mustHoldLease(life: GatewayLife, what: string): void {
    const epoch = this.#epochOf(life.name);
    if (epoch === undefined || !life.epochs.has(epoch)) this.problem(`${life.name}: ${what} without a lease`);
    else if (this.#rules.cluster === 'leader' && !this.#isLeader(life))
      this.problem(`${life.name}: ${what} without being the leader`);
  }

  #mustOwn(life: GatewayLife, sessionId: string, what: string): void {
    const owner = this.#ownerOf(sessionId);
    if (owner === undefined) this.problem(`${life.name}: ${what} of a session that is over`);
    else if (!life.epochs.has(owner.epoch)) this.problem(`${life.name}: ${what} is ${owner.gateway}'s`);
  }

  #judgeOwner(life: GatewayLife, id: string, value: Uint8Array, transaction: Transaction): void {
    const next = decodeOwner(value);
    const kept = this.#kept.get(ownerKey(id));
    if (!this.#isSeen(id, transaction))
      this.problem(`${life.name}: claims ${id}, and has not seen whose it is`);
    if (next.gateway !== life.name || next.epoch !== this.#epochOf(life.name))
      this.problem(`${life.name}: ${id} is given to ${next.gateway} ${next.epoch}`);
    this.#judgeReturn(life, id, kept !== undefined);
    if (kept !== undefined && decodeOwner(kept.value).identity !== next.identity)
      this.problem(`${life.name}: ${id} changes hands`);
    // Whoever takes it over gives it another timeout.
    if (kept !== undefined && life.epochs.has(decodeOwner(kept.value).epoch)) return;
    life.heardMs.set(id, this.#nowMs());
    life.expiringMs.delete(id);
  }

  /** A create that was tried twice may be carried out again when the session was closed at once: nobody has it, and it expires. */
  #judgeReturn(life: GatewayLife, id: string, isThere: boolean): void {
    const end = this.#ended.get(id);
    if (end === undefined ? !isThere && this.#clients.has(id) : end === 'expired')
      this.problem(`${life.name}: ${id} comes back, which was ${end}`);
    this.#ended.delete(id);
  }

  #judgeOutcome(life: GatewayLife, key: string, sessionId: string, value: Uint8Array): void {
    this.#mustOwn(life, sessionId, key);
    const [token = ''] = text(decodeResponse(value).payload).split(' ');
    if (this.#outcomes.has(key)) this.problem(`${life.name}: ${key} is committed again`);
    this.#outcomes.set(key, token);
  }

  #judgeServerRequest(key: string, sessionId: string, id: number, value: Uint8Array): void {
    const last = this.#kept.get(counterKey(sessionId));
    if (id <= (last === undefined ? 0 : decodeNumber(last.value)) || this.#serverRequests.has(key))
      this.problem(`${key} is not new`);
    if (this.isOver(sessionId)) this.problem(`${key} of a session that is over`);
    this.#serverRequests.set(key, text(decodeServerRequest(value).payload));
  }

  /** @param path what handlers write: `counter`, or `log/SESSION` with the token of the request and its answer. */
  #judgeApplication(life: GatewayLife, [what = '', sessionId = '']: readonly string[], value: string): void {
    if (what === 'counter') {
      if (Number(value) !== ++this.#counter) this.problem(`the counter is ${value}, not ${this.#counter}`);
    } else if (what === 'log') {
      this.#mustOwn(life, sessionId, `request ${value}`);
      const [token = ''] = value.split(' ');
      if (this.#committed.has(token)) this.problem(`${life.name}: ${token} is committed again`);
      if (this.#refusedTokens.has(token)) this.problem(`${life.name}: ${token} was refused`);
      this.#committed.set(token, value);
    }
  }

  // ---- The end of sessions -------------------------------------------------------------------------------------------

  #judgeEnd(life: GatewayLife, id: string, transaction: Transaction): void {
    const { writes } = transaction;
    const owner = this.#ownerOf(id);
    if (!this.#isSeen(id, transaction))
      this.problem(`${life.name}: ends ${id}, and has not seen whose it is`);
    const client = this.#clients.get(id);
    const mark = writes.find((each) => each.type === 'put' && each.key === `a/ended/${id}`);
    const end = mark?.type === 'put' ? text(mark.value) : 'undone';
    this.#ended.set(id, end);
    if (owner === undefined) return;
    if (end === 'undone') {
      if (client !== undefined) this.problem(`${life.name}: ${id} is undone, and a client has it`);
    } else if (end === 'closed') {
      this.#mustOwn(life, id, 'the end');
      if (client?.isClosing !== true) this.problem(`${life.name}: ${id} is closed by nobody`);
    } else if (!this.#isSilent(life, id, owner) && !this.#isOrphan(life, id, owner)) {
      const heardMs = life.heardMs.get(id);
      const deadMs = this.#endedLeasesMs.get(owner.epoch);
      const why = `heard at ${heardMs}, decided at ${life.expiringMs.get(id)?.first}, owner gone at ${deadMs}`;
      this.problem(`${life.name}: ${id} expires too early: ${why}`);
    }
  }

  /** Its own client was not heard for the timeout. */
  #isSilent({ epochs, heardMs, expiringMs }: GatewayLife, id: string, { epoch }: OwnerRecord): boolean {
    const silentMs = (expiringMs.get(id)?.first ?? Number.NaN) - (heardMs.get(id) ?? Number.NaN);
    return epochs.has(epoch) && silentMs > this.#rules.sessionTimeoutMs;
  }

  /** Its gateway has another lease and hears its client: it has to claim the session anew. */
  #isServed(id: string, epoch: string): boolean {
    const life = Array.from(this.#gateways.values()).find(({ epochs }) => epochs.has(epoch));
    const present = life && this.#epochOf(life.name);
    if (this.#rules.cluster === 'leader' || present === undefined || !life?.epochs.has(present)) return false;
    const isHeard = this.#nowMs() - (life.heardMs.get(id) ?? 0) < this.#rules.sessionTimeoutMs;
    return isHeard && this.#nowMs() - life.grantedMs > reclaimMs;
  }

  /** Its gateway has been gone for the grace period, or this one has led for so long. */
  #isOrphan(life: GatewayLife, id: string, { gateway, epoch }: OwnerRecord): boolean {
    if (!this.#isLeader(life)) return false;
    const sinceMs =
      this.#rules.cluster === 'leader'
        ? life.electedMs.get(this.#epochOf(life.name) ?? '')
        : this.#endedLeasesMs.get(epoch);
    const isAlive = this.#epochOf(gateway) === epoch;
    if (isAlive || sinceMs === undefined || this.#isServed(id, epoch)) return false;
    return (life.expiringMs.get(id)?.last ?? Number.NaN) - sinceMs >= this.#rules.graceMs;
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}
