// docker/: what can be checked without an engine.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const manifest = JSON.parse(read('package.json'));

/** One string for each image of the Dockerfile, by the name of its target. */
const stages = new Map(
  read('docker/Dockerfile')
    .split(/^FROM /m)
    .slice(1)
    .map((text) => [/ AS (\S+)/.exec(text)?.[1] ?? '', text]),
);

describe.each(['bookworm', 'alpine'])('the image of %s', (name) => {
  const stage = stages.get(name) ?? '';

  test('runs as a user without rights, and says how to ask whether it is alive', () => {
    expect(stage).toMatch(/^USER 1000:1000$/m);
    expect(stage).toMatch(/^HEALTHCHECK .* CMD \["node", "\/opt\/hawser\/healthcheck\.mjs"\]$/m);
    expect(stage).toMatch(/^EXPOSE 4433\/udp$/m);
  });

  test('lets the process itself have the signals', () => {
    expect(stage).toMatch(/^STOPSIGNAL SIGTERM$/m);
    // In the form of an array: a shell between would keep SIGTERM to itself.
    expect(stage).toMatch(/^ENTRYPOINT \["hawser"\]$/m);
    expect(stage).toMatch(/^CMD \["gateway", "--config", /m);
    expect(stage).toContain(`/opt/hawser/node_modules/hawser/${manifest.bin.hawser}`);
  });

  test('takes what the stage before has installed', () => {
    expect(stage).toContain(`COPY --from=${name}-install /opt/hawser /opt/hawser`);
    expect(stages.get(`${name}-install`)).toContain('RUN sh /tmp/install.sh');
  });
});

test('the images differ in nothing but their base', () => {
  const neutral = (name: string) =>
    stages.get(name)?.split('\n').slice(1).join('\n').replaceAll(name, '').trim();
  expect(neutral('alpine')).toBe(neutral('bookworm'));
});

test('where the file system can only be read, the control socket has a folder of the user of the image', () => {
  const [command = ''] = /^docker run [\s\S]*?[^\\]$/m.exec(read('docs/releases.md')) ?? [];
  expect(command).toContain('--read-only');
  expect(command).toContain('--tmpfs /run/hawser:mode=0700,uid=1000,gid=1000');
  // Another user could not use it.
  expect(command).not.toContain('--user');
});

test('everything that is copied is in the repository, or is the tarball, and no .dockerignore keeps it out', () => {
  const sources = [...read('docker/Dockerfile').matchAll(/^COPY (?!--from)(\S+) /gm)].map(
    ([, path]) => path ?? '',
  );
  expect(new Set(sources).size).toBe(3);
  const ignored = read('.dockerignore');
  for (const source of sources) {
    if (source === 'build/package/hawser.tgz') expect(ignored).toContain(`!${source}`);
    else expect([existsSync(join(root, source)), source.startsWith('docker/')]).toEqual([true, true]);
  }
  expect(ignored).toMatch(/^\*$/m);
});

test('the images have the optional packages in the versions that are tested', () => {
  const script = read('docker/install.sh');
  for (const name of Object.keys(manifest.peerDependencies)) {
    expect(script).toContain(`${name}@${manifest.devDependencies[name]}`);
  }
});

/** It gives up after two seconds, which this process or its own may stand still for: here it waits as long as it takes. */
const patient = 'data:text/javascript,AbortSignal.timeout = () => new AbortController().signal;';

async function healthOf(url: string): Promise<number | null> {
  const env = { ...process.env, HAWSER_HEALTH_URL: url };
  const args = ['--import', patient, join(root, 'docker/healthcheck.mjs')];
  const child = spawn(process.execPath, args, { env, stdio: 'ignore' });
  const [code] = await once(child, 'exit');
  return code;
}

test('the health check fails where nobody answers, and where the answer is not 200', async () => {
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/livez' ? 200 : 503).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const base = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  expect(await healthOf(`${base}/livez`)).toBe(0);
  expect(await healthOf(`${base}/else`)).toBe(1);
  server.close();
  await once(server, 'close');
  expect(await healthOf(`${base}/livez`)).toBe(1);
});
