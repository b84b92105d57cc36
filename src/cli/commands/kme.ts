import { parseAddress } from '../../base/address.js';
import { type KmeFault, parseFault } from '../../keys/kme/faults.js';
import { KeyPool } from '../../keys/kme/key-pool.js';
import { KmeServer } from '../../keys/kme/kme-server.js';
import type { ServedRequest } from '../../keys/kme/kme-server-options.js';
import { type Command, defineCommand } from '../command.js';
import { exitCodes, UsageError } from '../errors.js';
import { authorityFiles, kmeFiles, listSaes, readPemFile } from '../kme-files.js';
import {
  address,
  decimal,
  duration,
  flag,
  integer,
  type Kind,
  list,
  name,
  required,
  text,
  type Values,
  withDefault,
} from '../options.js';
import { pause, watchSignals } from '../signals.js';
import { count, painter, printable, printableJson } from '../terminal.js';

const maxIdBytes = 64;
const defaultIds = ['KME_A', 'KME_B'] as const;
const defaultAddress = '127.0.0.1:8443';
const maxPort = 65_535;

const fault: Kind<KmeFault> = {
  placeholder: 'FAULT',
  parse: (given) => {
    try {
      return parseFault(given);
    } catch (error) {
      throw new Error(error instanceof Error ? error.message : String(error));
    }
  },
};

const options = {
  certs: required(text('DIR'), 'the folder with the certificates; "hawser kme certs" makes it'),
  id: list(name(maxIdBytes), `ids of the KMEs, two for each pair (default: ${defaultIds.join(',')})`),
  listen: list(
    address(),
    `the addresses to bind, one for each KME, or one for the first, behind whose port the others follow (default: ${defaultAddress})`,
  ),
  sae: list(name(maxIdBytes), 'the SAEs that they serve (default: all with a certificate)'),
  capacity: withDefault(integer(1, 1_000_000), '10000', 'keys that a pair has at first, and at most'),
  refill: withDefault(decimal(0, 1_000_000), '100', 'keys that come anew in a second'),
  keySize: withDefault(integer(16, 4096), '256', 'bits of a key when none are asked for'),
  minKeySize: withDefault(integer(16, 4096), '64', 'the fewest bits of a key'),
  maxKeySize: withDefault(integer(16, 4096), '4096', 'the most bits of a key'),
  maxKeys: withDefault(integer(1, 1024), '128', 'keys of one request'),
  maxSaes: withDefault(integer(0, 64), '0', 'further SAEs that may have the same keys'),
  keep: withDefault(duration(1000, 86_400_000), '1h', 'how long keys wait for the SAE that they are for'),
  fault: list(fault, 'what to do wrong: [METHOD:]KIND[=VALUE][@SHARE][xTIMES], as below'),
  json: flag('print one line of JSON for each request'),
};

export const kme: Command = defineCommand({
  name: 'kme',
  summary: 'runs pairs of key management entities (ETSI GS QKD 014) for development',
  details: [
    'The KMEs of a pair share a pool of keys, which are random. What one delivers to a master SAE, the other delivers to the slave, once. SAEs are known by the common name of their certificate: "hawser kme certs" makes those.',
    'A fault strikes one method (status, enc_keys, dec_keys) or all, a share of the requests or each, so many times or always: dec_keys:drop-after@0.1, enc_keys:status=503x3, delay=2000. Kinds: status (answers it, 503 without a value), delay (milliseconds), drop-before and drop-after (closes the connection before or after keys are delivered), truncate, short, duplicate, foreign, wrong-size, bad-base64, garbage, media-type, too-long.',
    'SIGINT (Ctrl-C) or SIGTERM ends it with exit code 0. The keys are in memory only, and are wiped then.',
  ],
  options,
  run,
});

type KmeValues = Values<typeof options>;

/** One KME that listens. */
interface Running {
  readonly id: string;
  readonly targetId: string;
  readonly server: KmeServer;
}

async function run(values: KmeValues): Promise<number> {
  const ids = values.id.length === 0 ? defaultIds : values.id;
  if (ids.length % 2 !== 0 || new Set(ids).size !== ids.length) {
    throw new UsageError('--id needs two different ids for each pair, such as --id KME_A,KME_B');
  }
  const addresses = addressesOf(values.listen, ids.length);
  if (values.minKeySize > values.maxKeySize)
    throw new UsageError('--min-key-size must be no more than --max-key-size');
  const pools: KeyPool[] = [];
  const running: Running[] = [];
  const interruption = watchSignals();
  try {
    for (const [at, id] of ids.entries()) {
      if (at % 2 === 0) pools.push(makePool(values));
      const pool = pools.at(-1);
      const targetId = ids[at % 2 === 0 ? at + 1 : at - 1];
      const address = addresses[at];
      if (pool === undefined || targetId === undefined || address === undefined) break;
      running.push({ id, targetId, server: await listen({ values, id, targetId, pool, address }) });
    }
    announce(values, running);
    await pause(Number.POSITIVE_INFINITY, interruption.signal);
  } finally {
    await Promise.all(running.map(({ server }) => server.close()));
    for (const pool of pools) pool.close();
    interruption.dispose();
  }
  if (values.json) printLine({ event: 'closed' });
  return exitCodes.ok;
}

function makePool(values: KmeValues): KeyPool {
  for (const [option, bits] of [
    ['--key-size', values.keySize],
    ['--min-key-size', values.minKeySize],
    ['--max-key-size', values.maxKeySize],
  ] as const) {
    if (bits % 8 !== 0) throw new UsageError(`${option} must be a multiple of 8`);
  }
  if (values.keySize < values.minKeySize || values.keySize > values.maxKeySize) {
    throw new UsageError('--key-size must be from --min-key-size to --max-key-size');
  }
  return new KeyPool({
    capacity: values.capacity,
    refillPerSecond: values.refill,
    keySizeBits: values.keySize,
    minKeySizeBits: values.minKeySize,
    maxKeySizeBits: values.maxKeySize,
    maxKeysPerRequest: values.maxKeys,
    maxSaeIdCount: values.maxSaes,
    waitingMs: values.keep,
  });
}

function addressesOf(
  given: readonly string[],
  number: number,
): readonly { readonly host: string; readonly port: number }[] {
  const parsed = (given.length === 0 ? [defaultAddress] : given).map((each) => parseAddress(each));
  if (parsed.length === number) return parsed;
  const [first, ...others] = parsed;
  if (first === undefined || others.length > 0) {
    throw new UsageError(`--listen needs one address, or one for each of the ${number} KMEs`);
  }
  if (first.port + number - 1 > maxPort)
    throw new UsageError('--listen: there are not enough ports behind that one');
  // Port 0 is any, for each.
  return Array.from({ length: number }, (_, at) => ({
    ...first,
    port: first.port === 0 ? 0 : first.port + at,
  }));
}

async function listen({
  values,
  id,
  targetId,
  pool,
  address,
}: {
  readonly values: KmeValues;
  readonly id: string;
  readonly targetId: string;
  readonly pool: KeyPool;
  readonly address: { readonly host: string; readonly port: number };
}): Promise<KmeServer> {
  const files = kmeFiles(values.certs, id);
  const advice = `"hawser kme certs --out ${values.certs} --kme ${id}" makes it`;
  const key = readPemFile(files.privateKey, advice);
  try {
    return await KmeServer.listen({
      kmeId: id,
      targetKmeId: targetId,
      pool,
      ...address,
      ca: readPemFile(authorityFiles(values.certs).certificate, advice),
      cert: readPemFile(files.certificate, advice),
      key,
      ...(values.sae.length > 0 && { saeIds: values.sae }),
      faults: values.fault,
      onRequest: (request) => tellRequest(values, id, request),
      onRefused: (reason) => tellRefused(values, id, reason),
    });
  } finally {
    key.fill(0);
  }
}

function announce(values: KmeValues, running: readonly Running[]): void {
  if (values.json) {
    printLine({
      event: 'listening',
      kmes: running.map(({ id, targetId, server }) => ({ id, targetId, url: server.url })),
    });
    return;
  }
  const paint = painter(process.stdout);
  const rows = [
    ...running.map(({ id, targetId, server }) => [
      'kme',
      `${id} ${paint('bold', server.url)}, paired with ${printable(targetId)}`,
    ]),
    [
      'keys',
      `${count(values.capacity)} of ${values.keySize} bits for each pair, ${values.refill} more each second`,
    ],
    ...values.fault.map((each) => ['fault', `${each.method ?? 'every method'}: ${each.kind}`]),
    ['try', exampleOf(values.certs, running[0]?.server.url ?? '')],
  ];
  for (const [title = '', value = ''] of rows)
    process.stdout.write(`${paint('dim', title.padEnd(6))} ${value}\n`);
}

/** A request that anybody with the folder can make. */
function exampleOf(folder: string, url: string): string {
  const [master, slave] = listSaes(folder);
  const { certificate, privateKey } = master ?? { certificate: 'SAE.pem', privateKey: 'SAE.key' };
  const authority = authorityFiles(folder).certificate;
  return printable(
    `curl --cacert ${authority} --cert ${certificate} --key ${privateKey} ${url}/api/v1/keys/${slave?.encodedId ?? 'SAE_2'}/status`,
  );
}

function tellRequest({ json }: KmeValues, kme: string, request: ServedRequest): void {
  const {
    saeId = null,
    method = null,
    peerSaeId = null,
    status,
    keys,
    message,
    faults,
    durationMs,
  } = request;
  const ms = Math.round(durationMs * 10) / 10;
  if (json) {
    const time = new Date().toISOString();
    printLine({
      event: 'request',
      time,
      kme,
      sae: saeId,
      method,
      peer: peerSaeId,
      status,
      keys,
      message,
      faults,
      ms,
    });
    return;
  }
  const outcome = [
    status === null ? 'no answer' : String(status),
    ...(keys > 0 ? [`${keys} ${keys === 1 ? 'key' : 'keys'}`] : []),
    ...(message === '' ? [] : [message]),
    ...(faults.length === 0 ? [] : [`fault ${faults.join(', ')}`]),
    `${ms} ms`,
  ];
  const who = `${saeId ?? '-'} ${method ?? '-'} ${peerSaeId ?? '-'}`;
  process.stdout.write(`${printable(`${kme}: ${who}: ${outcome.join(', ')}`)}\n`);
}

function tellRefused({ json }: KmeValues, kme: string, reason: string): void {
  if (json) printLine({ event: 'refused', time: new Date().toISOString(), kme, reason });
  else process.stdout.write(`${printable(`${kme}: connection refused: ${reason}`)}\n`);
}

function printLine(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${printableJson(JSON.stringify(line))}\n`);
}
