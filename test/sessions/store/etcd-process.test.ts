// The store of sessions on etcd in a process of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EtcdServers, hasEtcd } from '../../../scripts/lib/etcd.mjs';
import { patience, startMs } from '../etcd/real-etcd.js';

const user = fileURLToPath(new URL('children/etcd-user.mjs', import.meta.url));

describe.skipIf(!hasEtcd)('a process that closes its store on etcd ends by itself', () => {
  let servers: EtcdServers;
  beforeAll(async () => {
    servers = await EtcdServers.start({ nodes: 1, args: patience });
  }, startMs);
  afterAll(async () => {
    await servers?.kill();
  });

  /** @returns what it ends with. */
  const use = async (meanwhile: () => unknown): Promise<unknown> => {
    const child = spawn(process.execPath, [user, servers.node.url], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    const said = createInterface({ input: child.stdout });
    // One that fails says nothing.
    const first = await Promise.race([once(said, 'line'), ended]);
    expect(first).toEqual(['open']);
    await meanwhile();
    child.stdin.end('close\n');
    const [code] = await ended;
    return code;
  };

  test('when etcd answers', async () => {
    expect(await use(() => undefined)).toBe(0);
  });

  test('when etcd stands still', async () => {
    expect(await use(() => servers.node.pause())).toBe(0);
    servers.node.resume();
  });

  test('when etcd is gone', async () => {
    expect(await use(() => servers.node.kill())).toBe(0);
  });
});
