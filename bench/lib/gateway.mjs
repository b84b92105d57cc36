// What looks whether every part of a composed gateway answers, and the SAE that its layer keys speaks with.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { askGateway } from '../../dist/gateway/control/ask-gateway.js';
import { connect } from '../../dist/index.js';
import { endpoint, feature, hawserConnector, InteractionClient } from './interaction.mjs';
import {
  CertificateAuthority,
  KeyPool,
  KmeClient,
  KmeServer,
  keysConnector,
  MemoryKeyStore,
  Sae,
  SaeConnection,
  signingPair,
  TransportPersona,
} from './keys.mjs';
import { SessionClient, sessionConnector } from './sessions.mjs';
import { index, MemoryQueue, moduleName, SyncClient, syncConnector } from './sync.mjs';

/** @typedef {{clients: string, saes: string, admin: string, metrics: string, control: string}} Places addresses of the listeners, URLs, a path */
/** @typedef {Awaited<ReturnType<typeof import('../../dist/token/index.js').createTokenMinter>>} Minter */

/**
 * @typedef {object} Asking
 * @property {import('../../dist/index.js').ChannelMap} channels of the listener `clients`
 * @property {Minter} minter for it
 * @property {Minter} saeMinter for the listener `saes`
 * @property {number} firstId a client id from which on none is in use
 * @property {BenchSae} sae
 */

/** How long a part may take on a busy machine. */
const longestMs = 30_000;
const sendAgainMs = 500;
const text = new Uint8Array([1, 2, 3]);

/**
 * @param {Places} places
 * @param {Asking} asking
 * @returns {Promise<Record<string, string>>} "answers", or why it does not, by the name of the part
 */
export async function askLayers(places, asking) {
  const parts = {
    messages: () => echo(asking),
    interaction: () => read(asking),
    sync: () => push(asking),
    sessions: () => request(asking),
    keys: () => asking.sae.rotate(() => asking.saeMinter.mint({ clientId: asking.sae.clientId })),
    admin: () => get(`${places.admin}/api/snapshot`, '"state":"RUNNING"'),
    metrics: () => get(`${places.metrics}/metrics`, 'hawser_gateway_info'),
    control: () => snapshot(places.control),
  };
  const answers = Object.entries(parts).map(async ([name, ask]) => [name, await answerOf(ask)]);
  return Object.fromEntries(await Promise.all(answers));
}

/** @param {() => Promise<boolean>} ask whether it answers what it should @returns {Promise<string>} */
async function answerOf(ask) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve('no answer'), longestMs);
  });
  const asked = ask().then(
    (right) => (right ? 'answers' : 'a wrong answer'),
    (error) => (error instanceof Error ? error.message : String(error)),
  );
  const answer = await Promise.race([asked, late]);
  clearTimeout(timer);
  return String(answer);
}

/** @param {Asking} asking */
async function echo({ minter, channels, firstId }) {
  const connection = await connect(minter.mint({ clientId: BigInt(firstId) }), { channels });
  const answered = new Promise((resolve) => {
    connection.on('message', (data, channel) => {
      resolve(channel === 'default' && Buffer.compare(/** @type {Uint8Array} */ (data), text) === 0);
    });
  });
  const send = () => connection.send('default', text);
  send();
  // Its channel may lose it.
  const timer = setInterval(send, sendAgainMs);
  try {
    return Boolean(await answered);
  } finally {
    clearInterval(timer);
    await connection.close();
  }
}

/** @param {Asking} asking */
async function read({ minter, channels, firstId }) {
  const options = /** @type {object} */ ({ channels });
  const token = () => minter.mint({ clientId: BigInt(firstId + 1) });
  const client = new InteractionClient({ connector: hawserConnector(token, options) });
  try {
    await client.connect();
    return (await client.read(endpoint, feature)).size > 0;
  } finally {
    await client.close();
  }
}

/** @param {Asking} asking */
async function push({ minter, channels, firstId }) {
  const options = /** @type {object} */ ({ channels });
  const token = () => minter.mint({ clientId: BigInt(firstId + 2) });
  const client = new SyncClient({ connector: syncConnector(token, options) });
  try {
    const agent = client.agent({ module: moduleName, queue: new MemoryQueue() });
    await client.connect();
    await agent.persistDifference('package-1', 'MODIFY', index, Buffer.from('{"installed":true}'));
    return (await agent.synchronizeModule('DELTA')).success;
  } finally {
    await client.close();
  }
}

/** @param {Asking} asking */
async function request({ minter, channels, firstId }) {
  const options = /** @type {object} */ ({ channels });
  const token = () => minter.mint({ clientId: BigInt(firstId + 3) });
  const client = new SessionClient({ connector: sessionConnector(token, options) });
  try {
    await client.connect();
    return Buffer.compare(await client.request(text), text) === 0;
  } finally {
    await client.close();
  }
}

/** @param {string} url @param {string} part of its answer */
async function get(url, part) {
  const response = await fetch(url);
  return response.ok && (await response.text()).includes(part);
}

/** @param {string} path */
async function snapshot(path) {
  const signal = AbortSignal.timeout(longestMs);
  const answer = await askGateway(path, { command: 'snapshot' }, signal);
  return answer?.state === 'RUNNING';
}

// ---- The other SAE -------------------------------------------------------------------------------------------------

const own = 'SAE_B';
const gateways = 'SAE_A';
/** That it answers, not how fast: a side that is not ready in time ends a rotation, and a process of a loaded machine may stand still. */
const times = { leadMs: 8000, lateMs: 30_000, graceMs: 200 };

/** An SAE that begins rotations with that of a gateway, and the KMEs of both. */
export class BenchSae {
  clientId = 1n;
  /** The section `sae` of the gateway. @type {Record<string, unknown>} */
  config;
  #kmeOptions;
  #pair = signingPair();
  #gatewayPublicKey;
  /** @type {Sae | undefined} */
  #sae;

  /** @param {string} folder for the files of the gateway's SAE */
  static async open(folder) {
    const pool = new KeyPool({ capacity: 1000, refillPerSecond: 1000 });
    const authority = CertificateAuthority.make({ name: 'hawser bench' });
    const ids = ['KME_A', 'KME_B'];
    const urls = [];
    for (const [number, kmeId] of ids.entries()) {
      const { certificate, privateKey } = authority.kme({ id: kmeId });
      const kme = await KmeServer.listen({
        kmeId,
        targetKmeId: ids[1 - number] ?? '',
        pool,
        ca: authority.certificate,
        cert: certificate,
        key: pemOf(privateKey),
      });
      urls.push(kme.url);
    }
    return new BenchSae(folder, authority, urls);
  }

  /** @param {string} folder @param {CertificateAuthority} authority @param {readonly string[]} urls of its KME and of ours */
  constructor(folder, authority, [url = '', ownUrl = '']) {
    const ca = authority.certificate;
    /** @param {string} name @param {string | Buffer} content only ever of keys that live for one run */
    const file = (name, content) => {
      writeFileSync(join(folder, name), content, { mode: 0o600 });
      return join(folder, name);
    };
    const { publicKey, privateKey } = signingPair();
    const theirs = authority.sae({ id: gateways });
    const ours = authority.sae({ id: own });
    this.#gatewayPublicKey = publicKey;
    this.#kmeOptions = { url: ownUrl, ca, cert: ours.certificate, key: pemOf(ours.privateKey) };
    this.config = {
      saeId: gateways,
      signingKey: file('signing.pem', pemOf(privateKey)),
      store: {
        path: join(folder, 'keys'),
        masterKey: { file: file('master.key', randomBytes(32).toString('base64')) },
      },
      kme: {
        url,
        ca: file('ca.pem', ca),
        cert: file('kme.pem', theirs.certificate),
        key: file('kme.key', pemOf(theirs.privateKey)),
      },
      peers: [
        {
          saeId: own,
          publicKey: file('other.pub', String(this.#pair.publicKey.export({ type: 'spki', format: 'pem' }))),
          role: 'slave',
          clientId: String(this.clientId),
          ...times,
        },
      ],
    };
  }

  /** @param {() => Uint8Array} token for its connection @returns {Promise<boolean>} whether a rotation with the gateway was completed */
  async rotate(token) {
    this.#sae ??= await this.#connect(token);
    return (await this.#sae.rotate(gateways)).outcome === 'completed';
  }

  /** @param {() => Uint8Array} token */
  async #connect(token) {
    const persona = new TransportPersona();
    const sae = await Sae.open({
      saeId: own,
      signingKey: this.#pair.privateKey,
      store: new MemoryKeyStore(),
      keySource: new KmeClient(this.#kmeOptions),
      persona,
      peers: [{ saeId: gateways, publicKey: this.#gatewayPublicKey, role: 'master', ...times }],
    });
    const connector = keysConnector(token, { secretOf: persona.secretOf }, (connection) =>
      persona.attach(gateways, connection),
    );
    const connection = new SaeConnection({ sae, peerSaeId: gateways, connector });
    await new Promise((resolve) => {
      connection.on('connected', () => resolve(undefined));
      connection.connect();
    });
    return sae;
  }
}

/** @param {import('node:crypto').KeyObject} key @returns {string} */
function pemOf(key) {
  return String(key.export({ type: 'pkcs8', format: 'pem' }));
}
