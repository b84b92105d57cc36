// The manifests of deploy/kubernetes: each is YAML, they fit each other, and what they name exists in the code.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { loadConfig } from '../../src/gateway/config-file.js';
import { formatKey, generateKey } from '../../src/token/server-key.js';
import { hawserHere } from '../cli/in-process.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const manifests = join(root, 'deploy/kubernetes');
const folder = mkdtempSync(join(tmpdir(), 'hawser-manifests-'));
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  // What is below is read as each test needs it.
  // biome-ignore lint/suspicious/noExplicitAny: documents of others' schemas.
  readonly [more: string]: any;
}

function read(file: string): Manifest[] {
  return parseAllDocuments(readFileSync(join(manifests, file), 'utf8')).map((document) => {
    expect([...document.errors, ...document.warnings]).toEqual([]);
    return document.toJS();
  });
}

const files = readdirSync(manifests);
const all = files.flatMap(read);

function only(kind: string, name: string): Manifest {
  const [found, ...others] = all.filter((each) => each.kind === kind && each.metadata.name === name);
  expect(others).toEqual([]);
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found;
}

const pod = only('StatefulSet', 'hawser').spec.template.spec;
const [container] = pod.containers;
const ports: readonly { name: string; containerPort: number; protocol: string }[] = container.ports;

/** The configuration of the ConfigMap, as a pod with these variables reads it. */
async function configOf(
  variables: Readonly<Record<string, string>> = {},
): Promise<Awaited<ReturnType<typeof loadConfig>>> {
  const directory = mkdtempSync(join(folder, 'pod-'));
  const keys = join(directory, 'keys');
  mkdirSync(keys);
  writeFileSync(join(keys, 'current'), formatKey(generateKey()), { mode: 0o600 });
  for (const [name, text] of Object.entries<string>(only('ConfigMap', 'hawser-config').data)) {
    writeFileSync(join(directory, name), text);
  }
  const env = {
    NODE_IP: '192.0.2.7',
    POD_IP: '10.0.0.7',
    POD_NAME: 'hawser-0',
    KEYS_DIR: keys,
    HAWSER_ADMIN_TOKEN: 'a token of the test',
    ...variables,
  };
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  return loadConfig(join(directory, 'hawser.config.js'));
}

test('each file is YAML, and each document says what it is', () => {
  for (const { apiVersion, kind, metadata } of all) {
    expect([typeof apiVersion, typeof kind, typeof metadata?.name]).toEqual(['string', 'string', 'string']);
  }
  expect(all.length).toBeGreaterThan(8);
});

test('the configuration is one, and its addresses are those of the pod', async () => {
  const { config } = await configOf();
  expect(config.listeners?.[0]).toMatchObject({ publicAddresses: ['192.0.2.7:4433'] });
  expect(config.sessions?.advertise).toBe('192.0.2.7:4433');
  const elsewhere = await configOf({ PUBLIC_ADDRESS: '203.0.113.9:4433' });
  expect(elsewhere.config.listeners?.[0]?.publicAddresses).toEqual(['203.0.113.9:4433']);
});

test('every variable that the configuration reads is given to the container, or said to be optional', () => {
  const code: string = only('ConfigMap', 'hawser-config').data['hawser.config.js'];
  const destructured = /const \{ (.*) \} = process\.env/.exec(code)?.[1]?.split(', ') ?? [];
  const others = [...code.matchAll(/process\.env\.(\w+)|env: '(\w+)'/g)].map(([, a, b]) => a ?? b ?? '');
  const given = container.env.map(({ name }: { name: string }) => name);
  const missing = [...destructured, ...others].filter((name) => !given.includes(name));
  expect(missing).toEqual(['PUBLIC_ADDRESS']);
});

test('ports are those of the configuration', async () => {
  const { config } = await configOf();
  const portOf = (address: string | undefined): number => Number(address?.split(':').at(-1));
  const admin = typeof config.admin === 'object' ? config.admin.address : undefined;
  expect(ports).toEqual([
    { name: 'udp', containerPort: portOf(config.listeners?.[0]?.address), protocol: 'UDP' },
    { name: 'admin', containerPort: portOf(admin), protocol: 'TCP' },
    { name: 'metrics', containerPort: portOf(config.metrics?.address), protocol: 'TCP' },
  ]);
  const annotations = only('StatefulSet', 'hawser').spec.template.metadata.annotations;
  expect(annotations['prometheus.io/port']).toBe(String(portOf(config.metrics?.address)));
  for (const { spec } of all.filter(({ kind }) => kind === 'Service')) {
    for (const { targetPort, port, protocol } of spec.ports) {
      expect(ports).toContainEqual({ name: targetPort, containerPort: port, protocol });
    }
  }
  const policy = only('NetworkPolicy', 'hawser').spec.ingress.flatMap(
    (rule: { ports: unknown }) => rule.ports,
  );
  expect(policy).toEqual(ports.map(({ containerPort, protocol }) => ({ port: containerPort, protocol })));
});

test('probes ask for paths that there are, readiness another than liveness', () => {
  const routes = readFileSync(join(root, 'src/gateway/admin/routes.ts'), 'utf8');
  const paths = ['livenessProbe', 'readinessProbe', 'startupProbe'].map(
    (name) => container[name].httpGet.path,
  );
  for (const path of paths) expect(routes).toContain(`'${path}'`);
  expect(paths[0]).not.toBe(paths[1]);
});

test('a pod drains before it is stopped, and has the time', async () => {
  const { config } = await configOf();
  const [program, ...command] = container.lifecycle.preStop.exec.command;
  expect(program).toBe('hawser');
  const help = await hawserHere(command[0], '--help');
  for (const option of command.filter((each: string) => each.startsWith('--'))) {
    expect(help.stdout).toContain(option);
  }
  expect(command.at(-1)).toBe(config.control);
  expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan((config.drain?.deadlineMs ?? 0) + 10_000);
});

test('what is mounted is a volume, the control socket has a place, and nothing else can be written to', async () => {
  const { config } = await configOf();
  const volumes = pod.volumes.map(({ name }: { name: string }) => name);
  const mounts: { name: string; mountPath: string; readOnly?: boolean }[] = container.volumeMounts;
  expect(mounts.map(({ name }) => name).sort()).toEqual(volumes.sort());
  const writable = mounts.filter(({ readOnly }) => readOnly !== true).map(({ mountPath }) => mountPath);
  expect(writable).toEqual(['/run/hawser', '/tmp']);
  expect(String(config.control).startsWith('/run/hawser/')).toBe(true);
  expect(container.securityContext).toEqual({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
});

test('clients reach each pod, not one of many', () => {
  const balanced = all.filter(({ kind, spec }) => kind === 'Service' && spec.type === 'LoadBalancer');
  expect(balanced.length).toBe(only('StatefulSet', 'hawser').spec.replicas);
  for (const { metadata, spec } of balanced) {
    expect(spec.selector).toEqual({ 'statefulset.kubernetes.io/pod-name': metadata.name });
    expect(spec.externalTrafficPolicy).toBe('Local');
  }
  expect(pod.hostNetwork).toBe(true);
});
