// CommonJS: every entry point by require(), and a message over UDP.
const assert = require('node:assert/strict');
const { exports: entries } = require('hawser/package.json');
const { connect, Server } = require('hawser');
const { generateKey, mintToken } = require('hawser/token');

for (const entry of Object.keys(entries).filter((name) => !name.endsWith('.json'))) {
  assert(Object.keys(require(`hawser${entry.slice(1)}`)).length > 0, `${entry} exports nothing`);
}

async function main() {
  const key = generateKey();
  const server = await Server.listen({ address: '127.0.0.1:0', protocolId: 7n, keys: [key] });
  server.on('message', (peer, data) => peer.send(data));
  const token = await mintToken({
    protocolId: 7n,
    key,
    clientId: 1n,
    addresses: server.publicAddresses,
  });
  const connection = await connect(token);
  connection.on('message', async (data) => {
    assert.deepEqual([...data], [1, 2, 3]);
    await connection.close();
    await server.close();
    console.log(`ok ${process.version}`);
  });
  connection.send(new Uint8Array([1, 2, 3]));
}

main();
