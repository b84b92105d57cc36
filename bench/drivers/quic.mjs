// One bidirectional stream of @matrixai/quic (quiche): reliable, ordered and encrypted with TLS 1.3. It carries bytes, so messages are framed
// here, gathered into writes of 64 KiB.
import { execFile } from 'node:child_process';
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { RecordReader, RecordWriter } from '../lib/records.mjs';
import { RivalUnavailable } from '../lib/unavailable.mjs';
import { importRival, loopback } from './contract.mjs';

/**
 * The used part of the package. Its own types are there only where it is installed.
 *
 * @typedef {{readable: ReadableStream<Uint8Array>, writable: WritableStream<Uint8Array>}} QuicStream
 * @typedef {EventTarget & {newStream: (type: 'bidi') => QuicStream}} QuicConnection
 * @typedef {{isApp: true, errorCode: number, force: true}} Farewell
 *
 * @typedef {object} QuicServer
 * @property {(name: string, listener: (event: {detail: QuicConnection}) => void) => void} addEventListener
 * @property {(options: {host: string, port: number}) => Promise<void>} start
 * @property {number} port
 * @property {(farewell: Farewell) => Promise<void>} stop
 *
 * @typedef {object} QuicClient
 * @property {QuicConnection} connection
 * @property {(farewell: Farewell) => Promise<void>} destroy
 *
 * @typedef {object} Package
 * @property {new (options: object) => QuicServer} QUICServer
 * @property {{createQUICClient: (options: object) => Promise<QuicClient>}} QUICClient
 * @property {Record<'EventQUICServerConnection' | 'EventQUICConnectionStream', {name: string}>} events
 */

const library = /** @type {Package} */ (await importRival('@matrixai/quic'));

const chunkBytes = 64 * 1024;

/** Bytes that wait in the writable stream: `send` returns false from `high` on, until `low` is reached. */
const queueBytes = { high: 1024 * 1024, low: 256 * 1024 };

/** @type {Farewell} */
const farewell = { isApp: true, errorCode: 0, force: true };

/** Replaces the package's logger, which logs every packet. */
const silent = {
  getChild: () => silent,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: Number.POSITIVE_INFINITY,

  async listen(onMessage, { host = loopback, onDrain = () => undefined } = {}) {
    /** @type {((data: Uint8Array) => boolean) | undefined} */
    let send;
    const server = new library.QUICServer({
      crypto: { key: bufferOf(randomBytes(32)), ops: { sign, verify } },
      config: { ...(await certificate()), verifyPeer: false },
      logger: silent,
    });
    const { EventQUICServerConnection, EventQUICConnectionStream } = library.events;
    server.addEventListener(EventQUICServerConnection.name, ({ detail: connection }) => {
      connection.addEventListener(EventQUICConnectionStream.name, (event) => {
        const { detail: stream } = /** @type {CustomEvent<QuicStream>} */ (event);
        send = use(stream, onMessage, onDrain);
      });
    });
    await server.start({ host, port: 0 });
    return {
      target: { host, port: server.port },
      send: (data) => send?.(data) ?? false,
      close: () => server.stop(farewell),
    };
  },

  async connect(target, onMessage, onDrain, { host = loopback } = {}) {
    const server = /** @type {{host: string, port: number}} */ (target);
    const client = await library.QUICClient.createQUICClient({
      ...server,
      localHost: host,
      crypto: { ops: { randomBytes: fill } },
      config: { verifyPeer: false },
      logger: silent,
    });
    return {
      send: use(client.connection.newStream('bidi'), onMessage, onDrain),
      close: () => client.destroy(farewell),
    };
  },
};

/**
 * @param {QuicStream} stream
 * @param {(data: Uint8Array) => void} onMessage
 * @param {() => void} onDrain
 * @returns {(data: Uint8Array) => boolean} sends a message
 */
function use({ readable, writable }, onMessage, onDrain) {
  const reader = new RecordReader(onMessage);
  const output = writable.getWriter();
  let waitingBytes = 0;
  let waits = false;
  // The other side goes away first when a run is over, which is no fault; any earlier, there is more to send.
  /** @type {unknown} */
  let failure;
  /** @param {unknown} error */
  const fail = (error) => {
    failure ??= error;
  };
  readAll(readable, (chunk) => reader.read(chunk)).catch(fail);
  output.closed.catch(fail);
  const writer = new RecordWriter(chunkBytes, (chunk) => {
    waitingBytes += chunk.length;
    const written = () => {
      waitingBytes -= chunk.length;
      if (!waits || waitingBytes > queueBytes.low) return;
      waits = false;
      onDrain();
    };
    output.write(chunk).then(written, fail);
    waits ||= waitingBytes >= queueBytes.high;
    return !waits;
  });
  return (data) => {
    if (failure !== undefined) throw failure;
    return writer.send(data);
  };
}

/**
 * @param {ReadableStream<Uint8Array>} readable
 * @param {(chunk: Buffer) => void} onChunk
 */
async function readAll(readable, onChunk) {
  for await (const chunk of readable) onChunk(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
}

/**
 * A key pair and a certificate of its own, which the client does not check.
 *
 * @returns {Promise<{key: string, cert: string}>} PEM; rejects with RivalUnavailable where there is no openssl
 */
async function certificate() {
  const folder = await mkdtemp(join(tmpdir(), 'hawser-quic-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  args.push('-days', '1', '-subj', '/CN=path', '-keyout', key, '-out', cert);
  try {
    await promisify(execFile)('openssl', args);
    return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
  } catch (error) {
    if (Object(error).code !== 'ENOENT') throw error;
    throw new RivalUnavailable('openssl, which makes the certificate, is not installed');
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * @param {Uint8Array} bytes
 * @returns {ArrayBuffer}
 */
function bufferOf(bytes) {
  return Uint8Array.from(bytes).buffer;
}

/** @param {ArrayBuffer} data */
async function fill(data) {
  new Uint8Array(data).set(randomBytes(data.byteLength));
}

/**
 * @param {ArrayBuffer} key
 * @param {ArrayBuffer} data
 * @returns {Promise<ArrayBuffer>}
 */
async function sign(key, data) {
  return bufferOf(createHmac('sha256', new Uint8Array(key)).update(new Uint8Array(data)).digest());
}

/**
 * @param {ArrayBuffer} key
 * @param {ArrayBuffer} data
 * @param {ArrayBuffer} signature
 * @returns {Promise<boolean>}
 */
async function verify(key, data, signature) {
  const expected = new Uint8Array(await sign(key, data));
  return signature.byteLength === expected.byteLength && timingSafeEqual(expected, new Uint8Array(signature));
}
