import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { SyncManager } from '../../../src/sync/manager/manager.js';
import { checksumOf, documentSha1 } from '../../../src/sync/store/checksum.js';
import { MemoryStore } from '../../../src/sync/store/memory-store.js';
import { encodeMessage } from '../../../src/sync/wire/codec.js';
import { limits, noSession } from '../../../src/sync/wire/messages.js';
import { settled } from '../../interaction/virtual-time.js';
import { itemOf, json, startOf } from './fake-agent.js';
import { holdCommits, idsTo, ManagerWorld } from './manager-world.js';

const nothing = { sessions: 0, items: 0, bytes: 0 };

describe('Start', () => {
  test('case 84: a Start without content is malformed, and nothing begins', () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    // A root table whose union has the number of Start, and no value.
    const bytes = Buffer.from('0c00000008000c0007000800080000000000000004', 'hex');
    agent.sendBytes(bytes);
    agent.sendBytes(encodeMessage(startOf()).subarray(0, 20));
    agent.sendBytes(new Uint8Array());
    expect(agent.received).toEqual([]);
    expect(world.counts.malformed).toBeGreaterThanOrEqual(2);
    expect(world.manager.stats).toMatchObject(nothing);
  });

  test('case 85: size 0 is refused where Data must follow, and needed where none does', () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    for (const mode of ['FULL', 'DELTA'] as const) {
      const answer = agent.start({ mode, size: 0n, nonce: 5n });
      expect(answer).toMatchObject({ status: 'Error', reason: 'InvalidSize', session: noSession, nonce: 5n });
    }
    expect(world.manager.stats).toMatchObject(nothing);
    const modes = ['CHECK', 'METADATA_DELTA', 'METADATA_CHECK', 'GROUP_DELTA', 'GROUP_CHECK'] as const;
    for (const mode of modes) {
      expect(agent.start({ mode, size: 1n, module: mode })).toMatchObject({
        status: 'Error',
        reason: 'InvalidSize',
      });
      expect(agent.start({ mode, size: 0n, module: mode })).toMatchObject({ status: 'Ok', reason: 'None' });
    }
    expect(world.manager.stats.sessions).toBe(5);
  });

  test('case 86: a module without a name and an agent with the id 0 are served', async () => {
    const world = new ManagerWorld();
    const agent = world.agent('0');
    const session = agent.begin({ module: '', metadata: { agentId: '0' } });
    agent.values(session, 0, 0);
    agent.end(session);
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Ok']);
    expect(world.ids('0')).toEqual(['id-0']);
  });

  test('is answered with the nonce that it has, and a session of its own', () => {
    const world = new ManagerWorld();
    const agents = Array.from({ length: 100 }, (_, n) => world.agent(`agent-${n}`));
    const answers = agents.map((agent, n) => agent.start({ nonce: BigInt(n + 1) }));
    expect(answers.map(({ nonce }) => nonce)).toEqual(agents.map((_, n) => BigInt(n + 1)));
    expect(answers.every(({ status, resumed }) => status === 'Ok' && !resumed)).toBe(true);
    expect(new Set(answers.map(({ session }) => session)).size).toBe(100);
  });

  test('of an agent without nonces ends the session of its module that there was', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const first = agent.begin({ size: 2n });
    agent.values(first, 0, 0);
    const other = agent.begin({ module: 'sca' });
    const second = agent.begin({ size: 2n });
    expect(second).not.toBe(first);
    agent.values(first, 1, 1);
    agent.end(first);
    expect(agent.endAcks).toEqual(['Error UnknownSession', 'Error UnknownSession']);
    agent.values(second, 0, 1);
    agent.end(second);
    agent.values(other, 0, 0);
    agent.end(other);
    await settled();
    expect(agent.endAcks.slice(2)).toEqual(['Processing', 'Processing', 'Ok', 'Ok']);
    expect(world.counts).toMatchObject({ superseded: 1, succeeded: 2, failed: 1 });
    expect(world.store.sessions()).toEqual([]);
    expect(world.manager.stats).toMatchObject(nothing);
  });
});

describe('Data and End', () => {
  test('case 87: Data that are complete are not applied before End', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 2n });
    agent.values(session, 0, 1);
    await world.pass(60_000);
    expect(agent.received).toHaveLength(1);
    expect(world.ids()).toEqual([]);
    expect(world.manager.stats).toMatchObject({ sessions: 1, items: 2 });
    agent.end(session);
    await settled();
    expect(world.ids()).toEqual(idsTo(1));
  });

  test('case 88: End with a gap is answered with ReqRet, and what closes the gap is applied once', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 10n, nonce: 1n, generation: 1n });
    agent.batch(session, [0, 1, 5, 9]);
    agent.end(session);
    await settled();
    expect(agent.ofType('ReqRet')).toEqual([
      {
        type: 'ReqRet',
        session,
        ranges: [
          { begin: 2n, end: 4n },
          { begin: 6n, end: 8n },
        ],
      },
    ]);
    agent.batch(session, [2, 3, 4, 6, 7]);
    await settled();
    expect(agent.endAcks).toEqual([]);
    agent.values(session, 8, 8);
    agent.values(session, 8, 8);
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Ok']);
    expect(world.ids()).toEqual(idsTo(9));
    expect(world.counts).toMatchObject({
      reqRets: 1,
      itemsReceived: 10,
      itemsDuplicate: 1,
      itemsApplied: 10,
    });
  });

  test('case 89: End with everything there is answered with Processing, and with Ok once it is applied', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 3n, nonce: 7n, generation: 1n });
    agent.values(session, 0, 2);
    agent.end(session);
    expect(agent.endAcks).toEqual(['Processing']);
    await settled();
    expect(agent.lastEndAck).toEqual({
      type: 'EndAck',
      status: 'Ok',
      session,
      rejected: 0n,
      retryAfterMs: 0,
      reason: 'None',
    });
    expect(world.documents()).toEqual([0, 1, 2].map((n) => `files/id-${n} {"seq":${n}}`));
    expect(world.store.committed('agent', 'fim')).toMatchObject({
      nonce: 7n,
      generation: 1n,
      mode: 'DELTA',
      rejected: 0,
    });
    expect(world.manager.stats).toMatchObject(nothing);
  });

  test('case 90: an item beyond the size is rejected and not stored, and what is missing stays missing', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 3n });
    agent.batch(session, [0, 3, 2, 2 ** 40]);
    agent.send(itemOf(session, 0, { seq: 2n ** 64n - 1n, id: 'far' }));
    agent.end(session);
    await settled();
    expect(agent.ofType('ReqRet')[0]?.ranges).toEqual([{ begin: 1n, end: 1n }]);
    agent.values(session, 1, 1);
    await settled();
    expect(world.ids()).toEqual(idsTo(2));
    expect(world.counts.itemsBeyond).toBe(3);
    expect(world.logs).toContain('warning BeyondSize');
  });

  test('case 91: Data, Context and Clean that come again after everything was there change nothing', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 3n, nonce: 1n, generation: 1n });
    const send = (): void => {
      agent.values(session, 0, 0);
      agent.send({ type: 'DataContext', seq: 1n, session, id: 'c', index: 'files', data: json({}) });
      agent.send({ type: 'DataClean', seq: 2n, session, index: 'keys' });
    };
    send();
    agent.end(session);
    send();
    await settled();
    send();
    agent.end(session);
    agent.end(session);
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Ok', 'Ok', 'Ok']);
    expect(world.ids()).toEqual(['id-0']);
    expect(world.counts).toMatchObject({
      succeeded: 1,
      itemsApplied: 3,
      itemsDuplicate: 6,
      unknownSession: 0,
    });
  });

  test('the first of several items with one sequence number counts, as it does for what is missing', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 2n });
    agent.values(session, 0, 0, { data: json({ first: true }) });
    agent.values(session, 0, 0, { data: json({ first: false }) });
    agent.values(session, 1, 1);
    agent.values(session, 1, 1, { data: json({ first: false }) });
    agent.end(session);
    await settled();
    expect(world.documents()).toEqual(['files/id-0 {"first":true}', 'files/id-1 {"seq":1}']);
  });

  test('items are applied in the order of their numbers, however they came', async () => {
    for (let seed = 1; seed <= 12; ++seed) {
      const random = seededRandom(seed);
      const world = new ManagerWorld();
      const agent = world.agent();
      const size = 60;
      const session = agent.begin({ size: BigInt(size) });
      // Three documents that change twenty times each, and are deleted now and then.
      const seqs = Array.from({ length: size }, (_, seq) => seq).sort(() => random() - 0.5);
      const values = seqs.map((seq) =>
        itemOf(session, seq, { id: `${seq % 3}`, operation: seq % 20 === 7 ? 'Delete' : 'Upsert' }),
      );
      for (let from = 0; from < size; ) {
        const count = 1 + Math.floor(random() * 7);
        const repeated = values.slice(0, Math.floor(random() * 2));
        agent.sendUnreliable({
          type: 'DataBatch',
          values: [...values.slice(from, from + count), ...repeated],
        });
        from += count;
      }
      agent.end(session);
      await world.applied();
      expect(world.documents(), `seed ${seed}`).toEqual(
        [57, 58, 59].map((n) => `files/${n % 3} {"seq":${n}}`),
      );
    }
  });

  test('a long session that came out of order is applied in order, with the event loop running meanwhile', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const size = 20_000;
    const session = agent.begin({ size: BigInt(size) });
    const all = Array.from({ length: size }, (_, seq) => seq);
    // Every second batch is lost at first.
    const batches = Array.from({ length: size / 100 }, (_, n) => all.slice(n * 100, n * 100 + 100));
    const send = (batch: readonly number[]): void => {
      agent.batch(session, batch, { id: 'same' });
    };
    for (const [n, batch] of batches.entries()) if (n % 2 === 0) send(batch);
    for (const [n, batch] of batches.entries()) if (n % 2 === 1) send(batch);
    agent.end(session);
    for (let turn = 0; turn < 1000 && agent.lastEndAck?.status !== 'Ok'; ++turn) await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Ok']);
    expect(world.documents()).toEqual([`files/same {"seq":${size - 1}}`]);
    expect(world.counts.itemsApplied).toBe(size);
  });

  test('FULL leaves the indices of Start with what was sent, and DELTA changes what was sent', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const sync = async (mode: 'FULL' | 'DELTA', ids: readonly string[], index = 'files'): Promise<void> => {
      const session = agent.begin({ mode, size: BigInt(ids.length), indices: [index] });
      for (const [seq, id] of ids.entries()) agent.values(session, seq, seq, { id, index });
      agent.end(session);
      await settled();
    };
    await sync('DELTA', ['a', 'b']);
    await sync('DELTA', ['c'], 'keys');
    await sync('DELTA', ['d']);
    expect(world.ids()).toEqual(['a', 'b', 'd']);
    await sync('FULL', ['e']);
    expect([world.ids(), world.ids('agent', 'keys')]).toEqual([['e'], ['c']]);
  });

  test('DataClean deletes everything of its index, before what follows it', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const first = agent.begin({ size: 2n });
    agent.values(first, 0, 1);
    agent.end(first);
    await settled();
    const second = agent.begin({ size: 2n, indices: ['files', 'keys'] });
    agent.send({ type: 'DataClean', seq: 0n, session: second, index: 'files' });
    agent.send({ type: 'DataClean', seq: 1n, session: second, index: 'keys' });
    agent.end(second);
    await settled();
    expect(agent.lastEndAck?.status).toBe('Ok');
    expect(world.documents()).toEqual([]);
  });

  test('a DataContext is given to whoever wants it and not stored', async () => {
    const contexts: string[] = [];
    const world = new ManagerWorld({
      onContext: (agent, module, { index, id, data }) =>
        contexts.push(`${agent} ${module} ${index}/${id} ${Buffer.from(data).toString()}`),
    });
    const agent = world.agent();
    const session = agent.begin({ size: 2n });
    agent.values(session, 0, 0);
    agent.send({ type: 'DataContext', seq: 1n, session, id: 'os', index: 'files', data: json({ os: 'x' }) });
    agent.end(session);
    await settled();
    expect(contexts).toEqual(['agent fim files/os {"os":"x"}']);
    expect(world.ids()).toEqual(['id-0']);
    expect(agent.lastEndAck).toMatchObject({ status: 'Ok', rejected: 0n });
  });

  test('while a session is applied its agent hears Processing now and then, and at every End', async () => {
    const store = new MemoryStore();
    const release = holdCommits(store);
    const world = new ManagerWorld({ store });
    const agent = world.agent();
    const session = agent.begin();
    agent.values(session, 0, 0);
    agent.end(session);
    await world.pass(12_000);
    expect(agent.endAcks).toEqual(['Processing', 'Processing', 'Processing']);
    agent.end(session);
    expect(agent.endAcks).toHaveLength(4);
    release();
    await settled();
    await world.pass(60_000);
    expect(agent.endAcks).toEqual([...Array.from({ length: 4 }, () => 'Processing'), 'Ok']);
  });
});

describe('invalid items', () => {
  test('case 95: items without id, index or data are rejected and counted, and the others applied', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 12n });
    const given = [
      {},
      { id: '' },
      { index: '' },
      { data: new Uint8Array() },
      { data: Buffer.from('[]') },
      { data: Buffer.from('null') },
      { data: Buffer.from('"text"') },
      { data: Buffer.from('{"a":1} {"b":2}') },
      { data: Buffer.from('{"a":') },
      { data: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) },
      { operation: 'Delete', id: '' },
      { data: Buffer.from(' {"name": "\u00fc\u{1f6a2}"}\n') },
    ] as const;
    agent.send({ type: 'DataBatch', values: given.map((each, seq) => itemOf(session, seq, each)) });
    agent.end(session);
    await world.applied();
    expect(agent.lastEndAck).toMatchObject({ status: 'Ok', rejected: 10n });
    expect(world.ids()).toEqual(['id-0', 'id-11']);
    expect(world.counts).toMatchObject({ itemsApplied: 2, itemsRejected: 10 });
    expect(world.logs).toContain('warning RejectedItems');
    expect(world.ended).toMatchObject([{ status: 'Ok', applied: 2, rejected: 10 }]);
  });

  test('an unknown operation fails the session before anything of it is applied', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 2n });
    agent.values(session, 0, 0);
    const bytes = encodeMessage(itemOf(session, 1, { operation: 'Delete' }));
    // The one byte that is 1 and, changed, makes an operation of which nobody knows.
    const changed = [...bytes.keys()]
      .filter((n) => bytes[n] === 1)
      .map((n) => Uint8Array.from(bytes, (byte, at) => (at === n ? 2 : byte)));
    for (const each of changed) agent.sendBytes(each);
    agent.end(session);
    await settled();
    expect(world.logs).toContain('error InvalidOperation');
    expect(agent.lastEndAck).toMatchObject({ status: 'Error', reason: 'InvalidMessage' });
    agent.end(session);
    expect(agent.lastEndAck).toMatchObject({ status: 'Error', reason: 'InvalidMessage' });
    expect(world.documents()).toEqual([]);
    expect(world.store.sessions()).toEqual([]);
    expect(world.manager.stats).toMatchObject(nothing);
  });

  test('case 93: what is not of an allowed index is neither stored nor deleted, and counted', async () => {
    let isStrict = false;
    const world = new ManagerWorld({
      allowIndex: (agent, index) => !isStrict || index === 'files' || agent === 'free',
    });
    const agent = world.agent();
    const free = world.agent('free');
    const before = agent.begin();
    agent.values(before, 0, 0, { index: 'secret', id: 'before' });
    agent.end(before);
    await settled();
    isStrict = true;
    for (const each of [agent, free]) {
      const session = each.begin({ mode: 'FULL', size: 4n, indices: ['files', 'secret'] });
      each.values(session, 0, 0);
      each.values(session, 1, 1, { index: 'secret' });
      each.send({ type: 'DataClean', seq: 2n, session, index: 'secret' });
      each.send({ type: 'DataContext', seq: 3n, session, id: 'c', index: 'secret', data: json({}) });
      each.end(session);
      await settled();
    }
    expect(agent.lastEndAck).toMatchObject({ status: 'Ok', rejected: 3n });
    expect(world.documents()).toEqual(['files/id-0 {"seq":0}', 'secret/before {"seq":0}']);
    expect(free.lastEndAck).toMatchObject({ status: 'Ok', rejected: 0n });
    expect(world.documents('free')).toEqual(['files/id-0 {"seq":0}']);
  });

  test('case 93: when no index is allowed, End is answered with Ok at once and nothing is kept', async () => {
    const world = new ManagerWorld({ allowIndex: () => false });
    const agent = world.agent();
    const session = agent.begin({ size: 1000n, indices: ['files', 'secret'], nonce: 4n, generation: 1n });
    expect(world.manager.stats).toMatchObject(nothing);
    agent.values(session, 0, 5);
    agent.end(session);
    expect(agent.lastEndAck).toMatchObject({ status: 'Ok', rejected: 1000n });
    expect(world.store.sessions()).toEqual([]);
    expect(world.logs).toEqual(['warning IndexNotAllowed']);
    const check = agent.begin({ mode: 'CHECK', size: 0n });
    agent.send({ type: 'ChecksumModule', session: check, index: 'files', checksum: '0'.repeat(40) });
    agent.end(check);
    await settled();
    expect(agent.lastEndAck).toMatchObject({ status: 'Error', reason: 'IndexNotAllowed' });
  });

  test('an allowIndex that throws allows nothing, and the error is told', async () => {
    const errors: unknown[] = [];
    const failure = new Error('the rules are gone');
    const world = new ManagerWorld({
      allowIndex: () => {
        throw failure;
      },
    });
    world.manager.on('listenerError', (error, source) => errors.push([error, source]));
    const agent = world.agent();
    const session = agent.begin({ indices: [] });
    agent.values(session, 0, 0);
    agent.end(session);
    await settled();
    expect(agent.lastEndAck).toMatchObject({ status: 'Ok', rejected: 1n });
    expect(world.documents()).toEqual([]);
    expect(errors).toEqual([[failure, 'allowIndex']]);
    expect(world.logs).toContain('error Hook');
  });
});

describe('CHECK', () => {
  const filled = async (): Promise<ManagerWorld> => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 2n });
    agent.values(session, 0, 1);
    agent.end(session);
    await settled();
    return world;
  };
  const checksum = checksumOf([0, 1].map((seq) => documentSha1(json({ seq }))));
  const check = async (world: ManagerWorld, index: string, sum: string, name = 'agent'): Promise<string> => {
    const agent = world.agent(name);
    const session = agent.begin({ mode: 'CHECK', size: 0n, indices: [index] });
    agent.send({ type: 'ChecksumModule', session, index, checksum: sum });
    agent.end(session);
    await settled();
    return agent.endAcks.join();
  };

  test('is answered with Ok when the checksums are the same, and with ChecksumMismatch when they differ', async () => {
    const world = await filled();
    expect(await check(world, 'files', checksum)).toBe('Ok');
    expect(await check(world, 'files', checksum.toUpperCase())).toBe('Ok');
    expect(await check(world, 'files', `0${checksum.slice(1)}`)).toBe('ChecksumMismatch');
    expect(await check(world, 'files', checksum, 'other')).toBe('ChecksumMismatch');
  });

  test('of an index without documents says Ok to the checksum of none', async () => {
    const world = await filled();
    expect(await check(world, 'none', checksumOf([]))).toBe('Ok');
    expect(await check(world, 'none', checksum)).toBe('ChecksumMismatch');
  });

  test('without an index, or with what is no checksum, fails', async () => {
    const world = await filled();
    expect(await check(world, '', checksum)).toBe('Error EmptyIndex');
    expect(await check(world, 'files', 'abc')).toBe('Error InvalidMessage');
    const agent = world.agent();
    const session = agent.begin({ mode: 'CHECK', size: 0n });
    agent.end(session);
    await settled();
    expect(agent.endAcks).toEqual(['Error EmptyIndex']);
  });

  test('case 92: a checksum that comes after End is ignored', async () => {
    const world = await filled();
    const agent = world.agent();
    const session = agent.begin({ mode: 'CHECK', size: 0n });
    agent.send({ type: 'ChecksumModule', session, index: 'files', checksum });
    agent.end(session);
    agent.send({ type: 'ChecksumModule', session, index: 'files', checksum: '0'.repeat(40) });
    await settled();
    agent.send({ type: 'ChecksumModule', session, index: 'files', checksum: '0'.repeat(40) });
    agent.end(session);
    expect(agent.endAcks).toEqual(['Ok', 'Ok']);
    expect(world.counts).toMatchObject({ unknownSession: 0, unexpected: 0 });
  });

  test('waits for the sessions of its agent that are being applied', async () => {
    const world = await filled();
    const agent = world.agent();
    const session = agent.begin({ size: 1n });
    agent.values(session, 0, 0, { data: json({ changed: true }) });
    const release = holdCommits(world.store);
    agent.end(session);
    const changed = checksumOf([{ changed: true }, { seq: 1 }].map((each) => documentSha1(json(each))));
    const id = agent.begin({ mode: 'CHECK', size: 0n, module: 'check' });
    agent.send({ type: 'ChecksumModule', session: id, index: 'files', checksum: changed });
    agent.end(id);
    await world.pass(1000);
    expect(agent.endAcks).toEqual(['Processing']);
    release();
    await settled();
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Ok', 'Ok']);
  });
});

describe('METADATA and GROUP', () => {
  const textOf = (bytes: Uint8Array | undefined): unknown =>
    bytes && JSON.parse(Buffer.from(bytes).toString());

  test('all four modes are applied by Start and End alone', async () => {
    const told: string[] = [];
    const world = new ManagerWorld({
      onMetadata: (agent, { mode }) => {
        told.push(`${agent} ${mode}`);
      },
    });
    const agent = world.agent();
    const metadata = { hostname: 'host', osName: 'Linux', groups: ['a', 'b'] };
    for (const mode of ['METADATA_DELTA', 'METADATA_CHECK', 'GROUP_DELTA', 'GROUP_CHECK'] as const) {
      const session = agent.begin({ mode, size: 0n, metadata, globalVersion: 9n });
      agent.end(session);
      await settled();
    }
    expect(agent.endAcks).toEqual(['Ok', 'Ok', 'Ok', 'Ok']);
    expect(textOf(world.store.agent('agent', 'metadata'))).toEqual({
      hostname: 'host',
      osName: 'Linux',
      globalVersion: '9',
      indices: ['files'],
    });
    expect(textOf(world.store.agent('agent', 'groups'))).toEqual({
      groups: ['a', 'b'],
      globalVersion: '9',
      indices: ['files'],
    });
    expect(told).toHaveLength(4);
  });

  test('while the agent is locked, sessions with Data are put off, and those of others are not', async () => {
    let release = (): void => undefined;
    const world = new ManagerWorld({
      onMetadata: () =>
        new Promise<void>((resolve) => {
          release = resolve;
        }),
    });
    const agent = world.agent();
    const receiving = agent.begin({ module: 'sca', size: 2n });
    const session = agent.begin({ mode: 'METADATA_DELTA', size: 0n });
    expect(agent.start().status).toBe('Ok');
    agent.end(session);
    await settled();
    const answer = agent.start({ module: 'other' });
    expect(answer).toMatchObject({ status: 'Offline', reason: 'AgentLocked' });
    expect(answer.retryAfterMs).toBeGreaterThan(0);
    expect(world.agent('free').start().status).toBe('Ok');
    // What had begun goes on.
    agent.values(receiving, 0, 1);
    await world.pass(5000);
    agent.end(session);
    expect(agent.endAcks).toEqual(['Processing', 'Processing']);
    release();
    await settled();
    expect(agent.start({ module: 'other' }).status).toBe('Ok');
    agent.end(receiving);
    await settled();
    expect(agent.endAcks.slice(2)).toEqual(['Ok', 'Processing', 'Ok']);
  });

  test('case 93: only the indices that the agent may write are kept and told; when there are none, nothing is', async () => {
    const told: (readonly string[])[] = [];
    const world = new ManagerWorld({
      allowIndex: (_agent, index) => index.startsWith('ok'),
      onMetadata: (_agent, { indices }) => {
        told.push(indices);
      },
    });
    const agent = world.agent();
    const tell = async (mode: 'METADATA_DELTA' | 'GROUP_CHECK', indices: string[]): Promise<void> => {
      agent.end(agent.begin({ mode, size: 0n, indices }));
      await settled();
    };
    await tell('METADATA_DELTA', ['ok', 'forbidden', 'ok2', 'ok']);
    expect(textOf(world.store.agent('agent', 'metadata'))).toMatchObject({ indices: ['ok', 'ok2'] });
    await tell('METADATA_DELTA', ['forbidden']);
    expect(textOf(world.store.agent('agent', 'metadata'))).toMatchObject({ indices: ['ok', 'ok2'] });
    await tell('GROUP_CHECK', ['forbidden']);
    expect(world.store.agent('agent', 'groups')).toBeUndefined();
    expect(world.logs).toEqual(['warning IndexNotAllowed', 'warning IndexNotAllowed']);
    await tell('GROUP_CHECK', []);
    expect(textOf(world.store.agent('agent', 'groups'))).toMatchObject({ indices: [] });
    expect(told).toEqual([['ok', 'ok2'], []]);
    expect(agent.endAcks).toEqual(['Ok', 'Ok', 'Ok', 'Ok']);
  });

  test('waits a minute at most for what is being applied', async () => {
    const store = new MemoryStore();
    store.commit = () => new Promise(() => undefined);
    const world = new ManagerWorld({ store });
    const agent = world.agent();
    const data = agent.begin();
    agent.values(data, 0, 0);
    agent.end(data);
    const session = agent.begin({ mode: 'GROUP_DELTA', size: 0n, metadata: { groups: ['g'] } });
    agent.end(session);
    await world.pass(59_000);
    expect(world.store.agent('agent', 'groups')).toBeUndefined();
    await world.pass(2000);
    expect(textOf(world.store.agent('agent', 'groups'))).toMatchObject({ groups: ['g'] });
    expect(agent.lastEndAck).toMatchObject({ status: 'Ok', session });
  });

  test('when the application fails the agent is told to try again', async () => {
    const world = new ManagerWorld({ onMetadata: () => Promise.reject(new Error('no')) });
    const agent = world.agent();
    agent.end(agent.begin({ mode: 'GROUP_CHECK', size: 0n }));
    await settled();
    expect(agent.lastEndAck).toMatchObject({ status: 'Offline', reason: 'StoreFailed' });
    expect(agent.lastEndAck?.retryAfterMs).toBeGreaterThan(0);
    expect(agent.start().status).toBe('Ok');
  });
});

describe('the manager itself', () => {
  test('checks its arguments', () => {
    const store = new MemoryStore();
    const make = (options: object) => () => new SyncManager({ store, ...options });
    for (const options of [
      { store: undefined },
      { maxSessions: 0 },
      { maxSessions: 100_001 },
      { maxItems: 10, maxItemsPerAgent: 11 },
      { maxBytes: 10, maxBytesPerAgent: 11 },
      { sessionTimeoutMs: 1 },
      { maxUnwrittenBytes: 2 ** 20 - 1 },
      { allowIndex: 1 },
      { wheel: {} },
      { sesionsPerAgent: 3 },
    ]) {
      expect(make(options), JSON.stringify(options)).toThrow(
        expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
      );
    }
    const { manager } = new ManagerWorld();
    // Of half surrogate pairs UTF-8 has one form for all: two agents would be one.
    for (const name of ['', 'x'.repeat(257), 'ж'.repeat(129), 'a\ud800', '\udfffa']) {
      const connection = { send: () => true, close: () => undefined, detectsLoss: true };
      expect(() => manager.accept(connection, name)).toThrow(
        expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
      );
    }
  });

  test('tells of sessions, their progress and their end', async () => {
    const world = new ManagerWorld();
    const progress: number[] = [];
    world.manager.on('progress', ({ received }) => progress.push(received));
    const agent = world.agent();
    const session = agent.begin({ size: 3n, mode: 'FULL' });
    for (const n of [0, 1, 2]) {
      await world.pass(300);
      agent.values(session, n, n);
    }
    agent.end(session);
    await settled();
    expect(progress).toEqual([1, 2, 3]);
    expect(world.started).toEqual([{ agent: 'agent', module: 'fim', mode: 'FULL', size: 3, resumed: false }]);
    expect(world.ended).toEqual([
      {
        agent: 'agent',
        module: 'fim',
        mode: 'FULL',
        size: 3,
        applied: 3,
        rejected: 0,
        durationMs: 900,
        status: 'Ok',
        reason: 'None',
      },
    ]);
  });

  test('a listener that throws spoils nothing', async () => {
    const world = new ManagerWorld();
    const sources: string[] = [];
    world.manager.on('listenerError', (_error, source) => sources.push(source));
    for (const event of ['sessionStart', 'sessionEnd', 'progress', 'log'] as const) {
      world.manager.on(event, () => {
        throw new Error(event);
      });
    }
    const agent = world.agent();
    await world.pass(1000);
    const session = agent.begin();
    agent.sendBytes(new Uint8Array(3));
    agent.values(session, 0, 0);
    agent.end(session);
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Ok']);
    expect(sources).toEqual(['sessionStart', 'log', 'progress', 'sessionEnd']);
  });

  test('ReqRet names no more ranges than one message may have, and the rest after the next End', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const size = 4000;
    const session = agent.begin({ size: BigInt(size) });
    const evens = Array.from({ length: size / 2 }, (_, n) => 2 * n);
    const send = (seqs: readonly number[]): void => {
      for (let n = 0; n < seqs.length; n += 500) agent.batch(session, seqs.slice(n, n + 500));
    };
    send(evens);
    agent.end(session);
    await settled();
    const first = agent.ofType('ReqRet')[0]?.ranges ?? [];
    expect(first).toHaveLength(limits.ranges);
    expect(first.at(-1)).toEqual({ begin: 2047n, end: 2047n });
    send(first.map(({ begin }) => Number(begin)));
    await settled();
    expect(agent.ofType('ReqRet')).toHaveLength(1);
    agent.end(session);
    await settled();
    const second = agent.ofType('ReqRet')[1]?.ranges ?? [];
    expect(second).toHaveLength(size / 2 - limits.ranges);
    expect(second[0]).toEqual({ begin: 2049n, end: 2049n });
  });
});
