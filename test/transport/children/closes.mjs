// The listener of the first message closes the gateway while more messages wait that came before.
//
// Argument: JSON {server, client}, more options of each; none if left out. Prints JSON {told, heard, received, atClient} when the process
// ends by itself: what the gateway told, in this order and messages in a row once; how many messages were heard, and had been received by
// then; and how the connection ended.

import { connect, Server } from 'hawser';
import { mintToken } from 'hawser/token';

const options = JSON.parse(process.argv[2] ?? '{}');
const key = { id: 1, key: new Uint8Array(32).fill(1) };
const server = await Server.listen({
  address: '127.0.0.1:0',
  protocolId: 1n,
  keys: [key],
  ...options.server,
});
/** @type {string[]} */
const told = [];
let heard = 0;
let received = 0;
/** @type {import('hawser').DisconnectInfo | undefined} */
let atClient;
/** @param {string} name */
const note = (name) => {
  if (told.at(-1) !== name) told.push(name);
};

/** On a thread, until the messages of more than two batches wait, 8,192 in each; without one, nothing comes while this runs. */
function letMoreCome() {
  do received = server.stats.counters.messagesReceived;
  while (options.server?.driver === 'threads' && received < 20_000);
}

server.on('connect', () => note('connect'));
server.on('message', () => {
  note('message');
  if (++heard > 1) return;
  letMoreCome();
  void server.close().then(() => note('closed'));
});
server.on('disconnect', (_, { result }) => note(`disconnect ${result}`));
server.on('drain', () => note('drain'));
server.on('listenerError', () => note('listenerError'));
server.on('close', () => note('close'));

const token = await mintToken({ protocolId: 1n, key, clientId: 1n, addresses: server.publicAddresses });
const connection = await connect(token, options.client);
connection.on('disconnect', (info) => {
  atClient = info;
});
process.on('exit', () => process.stdout.write(JSON.stringify({ told, heard, received, atClient })));
for (let index = 0; index < 60_000; ++index) connection.send(new Uint8Array(8));
