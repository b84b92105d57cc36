// Without an addon the package can be imported, and tokens be minted; what needs the addon says what is wrong.
import { HawserError, Server } from 'hawser';
import { generateKey, mintToken } from 'hawser/token';

const key = generateKey();
await mintToken({ protocolId: 1n, key, clientId: 1n, addresses: ['127.0.0.1:40000'] });
try {
  const server = await Server.listen({ address: '127.0.0.1:0', protocolId: 1n, keys: [key] });
  console.log('listens');
  await server.close();
} catch (error) {
  if (!(error instanceof HawserError)) throw error;
  console.log(`${error.code}: ${error.message}`);
}
