// A gateway and a peer over real UDP: how a user of the package would try it.
import { connect, Server } from 'hawser';
import { generateKey, mintToken } from 'hawser/token';

const protocolId = 7n;

/**
 * A gateway that sends back what it gets.
 *
 * @returns it, and a token for it
 */
export async function openEcho() {
  const key = generateKey();
  const server = await Server.listen({ address: '127.0.0.1:0', protocolId, keys: [key] });
  server.on('message', (peer, data) => peer.send(data));
  const token = await mintToken({ protocolId, key, clientId: 42n, addresses: server.publicAddresses });
  return { server, token };
}

/** Sends one message. @param {string} text @returns the text that came back; everything is closed then. */
export async function exchange(text) {
  const { server, token } = await openEcho();
  const connection = await connect(token);
  const echo = new Promise((resolve) => {
    connection.on('message', (data) => resolve(new TextDecoder().decode(data)));
  });
  connection.send(new TextEncoder().encode(text));
  const received = await echo;
  await connection.close();
  await server.close();
  return received;
}
