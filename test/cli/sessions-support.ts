// Stores of sessions with something in them, as gateways leave them.

import { expect } from 'vitest';
import {
  counterKey,
  ownerKey,
  progressKey,
  responseKey,
  serverRequestKey,
} from '../../src/sessions/store/keys.js';
import { openSessionStore } from '../../src/sessions/store/lmdb-store.js';
import {
  encodeNumber,
  encodeOwner,
  encodeResponse,
  encodeServerRequest,
  type OwnerRecord,
} from '../../src/sessions/store/records.js';
import type { SessionStore, Write } from '../../src/sessions/store/store.js';
import { jsonLines, RunningCommand, type TestGateway } from './support.js';
import { serverKey } from './sync-support.js';

/** `hawser sessions client`, which writes JSON. */
export class TestClient implements AsyncDisposable {
  readonly command: RunningCommand;

  /** With tokens of that gateway. */
  static start(gateway: TestGateway, ...args: string[]): TestClient {
    return new TestClient(gateway.begin('sessions', 'client', '--json', ...args));
  }

  /** With tokens of its own making, for gateways with these addresses. */
  static with(addresses: string, ...args: string[]): TestClient {
    const own = ['sessions', 'client', '--json', '--key', serverKey, '--server', addresses];
    return new TestClient(new RunningCommand([...own, ...args]));
  }

  private constructor(command: RunningCommand) {
    this.command = command;
  }

  /** Resolves once an event has come for the nth time. */
  async event(name: string, times = 1): Promise<Record<string, unknown>> {
    const line = `^\\{"event":"${name}".*\\}$`;
    const [all] = await this.command.sees(new RegExp(`(?:${line}[^]*?){${times}}`, 'm'));
    const lines = jsonLines(all).filter(({ event }) => event === name);
    return lines.at(-1) ?? expect.fail(`no ${name}`);
  }

  /** Ctrl-C, after which there was no failure. @returns the totals. */
  async leave(): Promise<Record<string, unknown>> {
    const { code, stdout, stderr } = await this.command.interrupt();
    expect([code, stderr]).toEqual([0, '']);
    const { totals } = jsonLines(stdout).at(-1) ?? {};
    return Object(totals);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.command.kill('SIGKILL');
    await this.command.outcome;
  }
}

/** When all sessions here were created. */
export const createdAt: number = Date.UTC(2026, 0, 31, 12);

export function ownerOf(fields: Partial<OwnerRecord> = {}): OwnerRecord {
  const capabilities = new Map([['hawser', '1']]);
  const owner = { gateway: '127.0.0.1:4433', epoch: '1-1', identity: '42', capabilities };
  return { ...owner, delivery: 'exactly-once', createdAt, ...fields };
}

/** What a session leaves that has had two outcomes and two server requests. */
export function sessionWrites(sessionId: string, owner: OwnerRecord = ownerOf()): readonly Write[] {
  const values: Readonly<Record<string, Uint8Array>> = {
    [ownerKey(sessionId)]: encodeOwner(owner),
    [progressKey(sessionId)]: encodeNumber(9),
    [counterKey(sessionId)]: encodeNumber(11),
    [responseKey(sessionId, 9)]: encodeResponse({
      outcome: 'result',
      payload: Buffer.from('nine\u001b[31m'),
    }),
    [responseKey(sessionId, 10)]: encodeResponse({ outcome: 'error', payload: Buffer.from([0xff, 0x00]) }),
    [serverRequestKey(sessionId, 10)]: encodeServerRequest({ payload: Buffer.from('go'), createdAt }),
    [serverRequestKey(sessionId, 11)]: encodeServerRequest({ payload: Buffer.alloc(3000), createdAt }),
  };
  return Object.entries(values).map(([key, value]) => ({ type: 'put', key, value }));
}

export async function put(store: SessionStore, writes: readonly Write[]): Promise<void> {
  await store.txn({ compare: [], writes });
}

/** A store on the disk, written and closed. */
export async function makeStore(directory: string, writes: readonly Write[]): Promise<void> {
  await using store = await openSessionStore(directory);
  for (let at = 0; at < writes.length; at += 100) await put(store, writes.slice(at, at + 100));
}

/** The keys of a store that nobody has open. */
export async function keysIn(directory: string): Promise<string[]> {
  await using store = await openSessionStore(directory);
  const entries = await store.read({ from: 'a', to: 'z' });
  return entries.map(({ key }) => key);
}
