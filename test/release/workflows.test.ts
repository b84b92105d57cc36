// The workflows, the Dockerfile and the pages of releases: what they name exists, and they agree with each other.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { oldestGlibc, targets } from '../../scripts/prebuild/targets.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const manifest = JSON.parse(read('package.json'));
const folder = '.github/workflows';
const files = readdirSync(join(root, folder));

interface Step {
  readonly run?: string;
  readonly uses?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Job {
  readonly needs?: string;
  readonly uses?: string;
  readonly steps?: readonly Step[];
  readonly permissions?: Readonly<Record<string, string>>;
  readonly 'timeout-minutes'?: number;
  readonly strategy?: {
    readonly matrix: { readonly os: readonly string[]; readonly node?: readonly number[] };
  };
}

interface Workflow {
  readonly permissions: Readonly<Record<string, string>>;
  readonly concurrency: unknown;
  readonly jobs: Readonly<Record<string, Job>>;
}

function workflow(file: string): Workflow {
  const document = parseDocument(read(`${folder}/${file}`));
  expect([...document.errors, ...document.warnings]).toEqual([]);
  return document.toJS();
}

const jobs = files.flatMap((file) =>
  Object.entries(workflow(file).jobs).map(([name, job]) => ({ file, name, job })),
);
const steps = jobs.flatMap(({ job }) => job.steps ?? []);
/** The versions of Node.js that docs/releases.md lists as supported. */
const supported = [...read('docs/releases.md').matchAll(/^\| (\d+) \| /gm)].map(([, major]) => Number(major));

describe('the workflows', () => {
  test('have two files', () => {
    expect(files.sort()).toEqual(['ci.yml', 'release.yml']);
  });

  test.each(files)(
    '%s lets its jobs read the repository, and nothing else, unless a job says more',
    (file) => {
      const { permissions, concurrency } = workflow(file);
      expect(permissions).toEqual({ contents: 'read' });
      expect(concurrency).toBeDefined();
    },
  );

  test('give what more there is to publishing alone', () => {
    const more = jobs.filter(({ job }) => job.permissions).map(({ name, job }) => [name, job.permissions]);
    expect(more).toEqual([
      ['publish', { contents: 'read', 'id-token': 'write' }],
      ['attach', { contents: 'write' }],
    ]);
  });

  test.each(jobs)('$file: $name ends in time, and waits for jobs that exist', ({ file, job }) => {
    if (job.needs) expect(Object.keys(workflow(file).jobs)).toContain(job.needs);
    if (job.uses) expect(existsSync(join(root, job.uses))).toBe(true);
    else expect(job['timeout-minutes']).toBeLessThanOrEqual(60);
  });

  test('use actions of GitHub alone, by major version', () => {
    const used = steps.flatMap(({ uses }) => uses ?? []);
    expect(used.length).toBeGreaterThan(8);
    for (const action of used) expect(action).toMatch(/^actions\/[a-z-]+@v\d+$/);
  });

  test('run npm scripts and files that exist', () => {
    const commands = steps.flatMap(({ run }) => run ?? []);
    const scripts = commands.flatMap((command) => /^npm run ([\w:-]+)/.exec(command)?.[1] ?? []);
    const programs = commands.flatMap((command) => /^node (\S+)/.exec(command)?.[1] ?? []);
    expect([scripts.length > 0, programs.length > 0]).toEqual([true, true]);
    for (const script of scripts) expect(Object.keys(manifest.scripts)).toContain(script);
    for (const program of programs) expect(existsSync(join(root, program)), program).toBe(true);
  });

  test('cover each supported version of Node.js, from the oldest of package.json on', () => {
    expect(supported).toEqual([20, 22, 24, 26]);
    expect(manifest.engines.node).toBe('^20.19 || >=22.12');
    for (const name of ['test', 'install']) {
      const job = jobs.find((each) => each.name === name)?.job;
      expect(job?.strategy?.matrix.node, name).toEqual(supported);
    }
  });

  test('try the tarball on every system that prebuilt addons are made for', () => {
    const systems = jobs.find(({ name }) => name === 'install')?.job.strategy?.matrix.os ?? [];
    const platforms = { linux: 'ubuntu', darwin: 'macos', win32: 'windows' };
    for (const { platform, arch, libc } of targets.filter((target) => target.libc !== 'musl')) {
      const isArm = (os: string) => /-arm$|^macos-\d+$/.test(os);
      const found = systems.filter(
        (os) => os.startsWith(platforms[platform]) && isArm(os) === (arch === 'arm64'),
      );
      expect(found.length, `${platform}-${arch} ${libc}`).toBe(1);
    }
  });
});

describe('docs/releases.md', () => {
  const page = read('docs/releases.md');

  test('names every platform, and the oldest glibc', () => {
    expect(page).toContain(`glibc ${oldestGlibc}`);
    for (const { platform } of targets) expect(page).toMatch(new RegExp(`^\\| ${platform} `, 'm'));
  });

  test.each([
    ['src/sessions/store/lmdb-store.ts', 'hawser-session-store'],
    ['src/sync/store/lmdb-store.ts', 'hawser-sync-store'],
    ['src/sync/queue/lmdb-queue.ts', 'hawser sync queue'],
    ['src/cli/push-state.ts', 'hawser sync push'],
    ['src/keys/store/lmdb-store.ts', 'hawser-keys'],
  ])('says the format that %s writes', (file, name) => {
    const version = new RegExp(`name: '${name}', version: (\\d+)`).exec(read(file))?.[1];
    expect(version).toBeDefined();
    expect(page).toContain(`\`${name} ${version}\``);
  });

  test('says the format that the store in etcd writes', () => {
    const format = /const format = '([^']+)'/.exec(read('src/sessions/store/etcd-store.ts'))?.[1];
    expect(format).toBeDefined();
    expect(page).toContain(`\`${format}\``);
  });
});
