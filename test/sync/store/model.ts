// What a manager's store should have, kept in the simplest way, and made-up sessions for it.

import { expect } from 'vitest';
import { documentBytes } from '../../../src/sync/store/agent-share.js';
import { checksumOf, documentSha1 } from '../../../src/sync/store/checksum.js';
import type { Change, StoredDocument, StoredSession, SyncStore } from '../../../src/sync/store/store.js';
import type { ModuleMode } from '../../../src/sync/wire/messages.js';
import type { Dice } from '../../interaction/simulated-home.js';

/** A session as a test describes it. */
export interface MadeUpSession {
  readonly agent: string;
  readonly module: string;
  readonly mode: ModuleMode;
  readonly indices: readonly string[];
  readonly changes: readonly Change[];
}

export const made = (session: Partial<MadeUpSession>): MadeUpSession => ({
  agent: 'agent',
  module: 'module',
  mode: 'DELTA',
  indices: [],
  changes: [],
  ...session,
});

export const upsert = (index: string, id: string, data: string, version = 0n): Change => ({
  operation: 'Upsert',
  index,
  id,
  version,
  data: Buffer.from(data),
});

export const deletion = (index: string, id: string): Change => ({ operation: 'Delete', index, id });

export const clean = (index: string): Change => ({ operation: 'Clean', index });

export function begin(
  store: SyncStore,
  { agent, module, mode, indices }: MadeUpSession,
  nonce = 1n,
): StoredSession {
  return store.begin({ agent, module, mode, size: 1, indices, session: 2n ** 63n, nonce, generation: nonce });
}

/** Keeps and applies a session. */
export async function commit(store: SyncStore, session: MadeUpSession, nonce = 1n): Promise<void> {
  await store.commit(begin(store, session, nonce), session.changes, () => 0);
}

/** By agent and index and id. */
export class StoreModel {
  readonly #agents = new Map<string, Map<string, Map<string, StoredDocument>>>();

  apply({ agent, mode, indices, changes }: MadeUpSession): void {
    const documents = this.#agents.get(agent) ?? new Map<string, Map<string, StoredDocument>>();
    this.#agents.set(agent, documents);
    if (mode === 'FULL') for (const index of indices) documents.delete(index);
    for (const change of changes) applyChange(documents, change);
  }

  /** In the order in which a store tells them. */
  documents(agent: string, index?: string): StoredDocument[] {
    const all = Array.from(this.#agents.get(agent)?.values() ?? [], (each) =>
      Array.from(each.values()),
    ).flat();
    return all
      .filter((each) => index === undefined || each.index === index)
      .sort((a, b) => compare(a.index, b.index) || compare(a.id, b.id));
  }

  usageOf(agent: string): { readonly count: number; readonly bytes: number } {
    const all = this.documents(agent).map(({ id, data }) =>
      documentBytes(data.length, Buffer.byteLength(id)),
    );
    return { count: all.length, bytes: all.reduce((sum, bytes) => sum + bytes, 0) };
  }

  checksum(agent: string, index: string): string | undefined {
    const documents = this.documents(agent, index);
    return documents.length === 0 ? undefined : checksumOf(documents.map(({ data }) => documentSha1(data)));
  }
}

function applyChange(documents: Map<string, Map<string, StoredDocument>>, change: Change): void {
  const { index } = change;
  const of = documents.get(index) ?? new Map<string, StoredDocument>();
  documents.set(index, of);
  if (change.operation === 'Clean') of.clear();
  else if (change.operation === 'Delete') of.delete(change.id);
  else if (change.version === 0n || change.version >= (of.get(change.id)?.version ?? 0n)) {
    const { id, version, data } = change;
    of.set(id, { index, id, version, data });
  }
}

function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Documents without the type of their bytes, to be compared. */
export function plain(documents: Iterable<StoredDocument>): object[] {
  return Array.from(documents, ({ data, version, ...rest }) => ({
    ...rest,
    version: `${version}`,
    data: Buffer.from(data).toString('latin1'),
  }));
}

/** @param agents and indices: all that there can be. */
export async function expectEqual(
  store: SyncStore,
  model: StoreModel,
  agents: readonly string[],
  indices: readonly string[],
): Promise<void> {
  for (const agent of agents) {
    const [actual, expected] = [plain(store.documents(agent)), plain(model.documents(agent))];
    // Of many documents, a comparison that can tell the difference takes long.
    if (JSON.stringify(actual) !== JSON.stringify(expected)) expect(actual).toEqual(expected);
    expect(store.usageOf(agent)).toMatchObject(model.usageOf(agent));
    for (const index of indices)
      expect(await store.checksum(agent, index)).toBe(model.checksum(agent, index));
  }
}

/** The agents and indices of sessions that are drawn. */
export const drawnAgents = ['x', 'xy'];
export const drawnIndices = ['a', 'ab', 'é'];

/** A session of a few agents, modules, indices and ids, so that they meet. */
export function drawSession(dice: Dice, most: number): MadeUpSession {
  const mode = dice.pick(['FULL', 'DELTA', 'DELTA'] as const);
  const changes = Array.from({ length: dice.magnitude(1, most) }, () => drawChange(dice, most));
  return {
    agent: dice.pick(drawnAgents),
    module: dice.pick(['m', 'mm']),
    mode,
    indices: dice.some(drawnIndices),
    changes,
  };
}

function drawChange(dice: Dice, most: number): Change {
  const index = dice.pick(drawnIndices);
  const id = `id ${dice.between(0, most / 2)}`;
  if (dice.chance(0.5 / most)) return clean(index);
  if (dice.chance(0.3)) return deletion(index, id);
  const length = dice.chance(0.02) ? dice.magnitude(1, 20_000) : dice.between(0, 5);
  const version = dice.chance(0.2) ? BigInt(dice.between(1, 3)) : 0n;
  return upsert(index, id, dice.pick(['A', 'B', 'C']).repeat(length), version);
}
