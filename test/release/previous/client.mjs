// A client of one release of all layers, for a gateway of another: one visit, and what came of it. What it begins in one
// visit, sessions, queues and keys, it goes on with in the next.
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inProduction, master, openSae, slave } from './keys-of-two.mjs';
import { channelsOf, clientIds, protocolId, serverKey, updateSecret, userData } from './package.mjs';

/** @typedef {import('./package.mjs').Package} Package */

/**
 * @typedef {object} Visit
 * @property {number} number 1 for the first one of these stores
 * @property {import('./gateway.mjs').Addresses} addresses
 * @property {string} folder where the client's stores are
 * @property {import('../../../src/sessions/index.js').SessionSnapshot} [session] that of the visit before
 */

/** @param {Package} pkg @param {bigint} clientId @param {string} address */
function tokenFor({ token }, clientId, address) {
  return token.mintToken({ protocolId, key: serverKey, clientId, addresses: [address], userData });
}

/**
 * What is sent on each channel, in order; on the reliable one also a message of many packets.
 *
 * @param {string} channel @param {number} visit
 */
export function messagesOf(channel, visit) {
  const long = channel === 'reliable' ? ['l'.repeat(100_000)] : [];
  return [...['a', 'b', 'c'].map((each) => `${each} ${channel} ${visit}`), ...long];
}

/**
 * Sends messages and waits until all came back. Where one may be lost they go one after the other, each until it is back.
 *
 * @param {(message: Buffer) => void} send
 * @param {(listener: (text: string) => void) => void} listen
 * @param {readonly string[]} messages
 * @param {boolean} mayBeLost
 * @returns {Promise<string[]>} in the order in which they came
 */
async function thereAndBack(send, listen, messages, mayBeLost) {
  /** @type {string[]} */
  const returned = [];
  /** Tells who waits for the next one. @type {(() => void) | undefined} */
  let came;
  listen((text) => {
    // Twice where it was taken for lost.
    if (!returned.includes(text)) returned.push(text);
    came?.();
  });
  const until = async (/** @type {number} */ count, /** @type {Buffer | undefined} */ again) => {
    while (returned.length < count) {
      /** @type {Promise<void>} */
      const next = new Promise((resolve) => {
        came = resolve;
      });
      await (again === undefined ? next : Promise.race([next, sleep(200)]));
      if (again !== undefined && returned.length < count) send(again);
    }
  };
  for (const [index, message] of messages.entries()) {
    const bytes = Buffer.from(message);
    send(bytes);
    if (mayBeLost) await until(index + 1, bytes);
  }
  await until(messages.length, undefined);
  return returned;
}

/** Begins a key update, again while another is under way. @param {() => Promise<number>} update */
async function updated(update) {
  for (;;) {
    try {
      return await update();
    } catch (error) {
      if (/** @type {{code?: string}} */ (error).code !== 'ERR_HAWSER_KEY_UPDATE_BUSY') throw error;
      await sleep(50);
    }
  }
}

/** Every channel mode, then key updates from both sides. @param {Package} pkg @param {Visit} visit */
async function exchangeMessages(pkg, { addresses, number }) {
  const channels = channelsOf(pkg);
  const token = await tokenFor(pkg, clientIds.messages, addresses.messages);
  const connection = await pkg.hawser.connect(token, { channels });
  /** @type {Record<string, (text: string) => void>} */
  const listeners = {};
  /** What the gateway says of an update that it did not begin. @type {(() => void) | undefined} */
  let askAgain;
  connection.on('message', (data, channel) => {
    if (channel === 'control') setTimeout(() => askAgain?.(), 50);
    else listeners[channel]?.(Buffer.from(data).toString());
  });
  /** @type {Record<string, string[]>} */
  const returned = {};
  const exchange = async (
    /** @type {'unreliable' | 'congestionControlled' | 'sequenced' | 'reliable' | 'reliableUnordered'} */ name,
  ) => {
    returned[name] = await thereAndBack(
      (message) => void connection.send(name, message),
      (listener) => {
        listeners[name] = listener;
      },
      messagesOf(name, number),
      !name.startsWith('reliable'),
    );
  };
  for (const name of /** @type {const} */ ([
    'unreliable',
    'congestionControlled',
    'sequenced',
    'reliable',
    'reliableUnordered',
  ])) {
    await exchange(name);
  }
  const epochs = [await updated(() => connection.updateKeys())];
  epochs.push(await updated(() => connection.updateKeys({ secret: updateSecret })));
  /** @type {Promise<import('../../../src/index.js').KeyUpdateInfo>} */
  const byGateway = new Promise((resolve) => {
    connection.on('keyUpdate', (info) => {
      if (info.byPeer) resolve(info);
    });
  });
  askAgain = () => void connection.send('control', { ask: 'keyUpdate' });
  askAgain();
  epochs.push((await byGateway).epoch);
  // The newest keys open what comes.
  await exchange('reliable');
  await connection.close();
  return { returned, epochs };
}

/** Payloads of netcode there and back. @param {Package} pkg @param {Visit} visit */
async function exchangeNetcode(pkg, { addresses, number }) {
  const token = await pkg.token.mintNetcodeToken({
    protocolId,
    key: serverKey,
    clientId: clientIds.netcode,
    addresses: [addresses.messages],
    userData,
  });
  const connection = await pkg.hawser.connect(token, { channels: channelsOf(pkg) });
  /** @type {((text: string) => void) | undefined} */
  let listener;
  connection.on('message', (data, channel) => {
    if (channel !== 'control') listener?.(Buffer.from(data).toString());
  });
  const returned = await thereAndBack(
    (message) => void connection.send('unreliable', message),
    (next) => {
      listener = next;
    },
    messagesOf('netcode', number),
    true,
  );
  await connection.close();
  return returned;
}

/** Three requests in the session of the visit before, which is kept. @param {Package} pkg @param {Visit} visit */
async function useSession(pkg, { addresses, session }) {
  const { SessionClient, sessionConnector } = pkg.sessions;
  /** @type {(text: string) => void} */
  let told = () => undefined;
  /** @type {Promise<string>} */
  const serverRequest = new Promise((resolve) => {
    told = resolve;
  });
  const client = new SessionClient({
    connector: sessionConnector(await tokenFor(pkg, clientIds.sessions, addresses.sessions)),
    onServerRequest: ({ payload }) => told(Buffer.from(payload).toString()),
  });
  const connected = once(client, 'connected');
  await client.connect(session === undefined ? {} : { session });
  const [, continued] = await connected;
  const counts = [];
  for (let index = 0; index < 3; ++index) {
    counts.push(Buffer.from(await client.request(Buffer.from('count'))).toString());
  }
  const facts = { continued, counts, serverRequest: await serverRequest };
  const snapshot = client.snapshot();
  await client.close({ keepSession: true });
  return { facts, snapshot };
}

/**
 * The documents that an agent has told when visits of that number are over, and those that wait for the next one.
 *
 * @param {number} visit
 */
export function documentsOf(visit) {
  /** @type {Map<string, string>} */
  const told = new Map();
  for (let n = 1; n <= visit; ++n) {
    told.set(`room-${n}`, `{"visit":${n}}`);
    told.set('total', `{"visits":${n}}`);
    if (n < visit) told.set(`late-${n}`, `{"late":${n}}`);
  }
  return told;
}

/** Tells what waits from the visit before and what is new. @param {Package} pkg @param {Visit} visit */
async function syncDocuments(pkg, { addresses, folder, number }) {
  const { checksumOf, documentSha1, openQueue, SyncClient, syncConnector } = pkg.sync;
  const queue = await openQueue(join(folder, 'queue'));
  const token = await tokenFor(pkg, clientIds.sync, addresses.sync);
  const client = new SyncClient({ connector: syncConnector(token) });
  const agent = client.agent({ module: 'meters', queue });
  await client.connect();
  const waited = queue.counts.pending;
  const documents = documentsOf(number);
  for (const [id, operation] of /** @type {const} */ ([
    [`room-${number}`, 'CREATE'],
    ['total', number === 1 ? 'CREATE' : 'MODIFY'],
  ])) {
    await agent.persistDifference(id, operation, 'meters', Buffer.from(documents.get(id) ?? ''));
  }
  const { success, failureReason, items } = await agent.synchronizeModule('DELTA');
  const checksum = checksumOf(Array.from(documents.values(), (text) => documentSha1(Buffer.from(text))));
  const verdict = await agent.requiresFullSync('meters', checksum);
  await agent.persistDifference(`late-${number}`, 'CREATE', 'meters', Buffer.from(`{"late":${number}}`));
  await client.close();
  await queue.close();
  return { waited, success, failureReason, items, verdict };
}

/** Rotates the key of the visit before. @param {Package} pkg @param {Visit} visit */
async function rotateKeys(pkg, { addresses, folder }) {
  const { keysConnector, SaeConnection } = pkg.keys;
  const opened = await openSae(pkg, master, folder);
  const before = await inProduction(opened);
  const connector = keysConnector(await tokenFor(pkg, clientIds.keys, addresses.keys));
  const connection = new SaeConnection({ sae: opened.sae, peerSaeId: slave, connector });
  const connected = once(connection, 'connected');
  connection.connect();
  await connected;
  const { outcome, oldKeyId, newKeyId } = await opened.sae.rotate(slave);
  const after = await inProduction(opened);
  await connection.close();
  await opened.sae.close();
  return { before, after, outcome, oldKeyId, newKeyId };
}

/**
 * One visit.
 *
 * @param {Package} pkg
 * @param {Visit} visit
 */
export async function pay(pkg, visit) {
  const messages = await exchangeMessages(pkg, visit);
  const netcode = await exchangeNetcode(pkg, visit);
  const { facts: session, snapshot } = await useSession(pkg, visit);
  const sync = await syncDocuments(pkg, visit);
  const keys = await rotateKeys(pkg, visit);
  return { messages, netcode, session, snapshot, sync, keys };
}
