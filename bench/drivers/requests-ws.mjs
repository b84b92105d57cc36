// JSON requests over WebSockets of the package ws, on TCP on loopback without TLS: a text message each, those of one turn in one write.
import { once } from 'node:events';
import { JsonAsker, jsonAnswer } from '../lib/json-requests.mjs';
import { gathering, library } from './ws.mjs';

/** @type {import('./requests.mjs').RequestDriver} */
export const driver = {
  async serve() {
    const server = new library.WebSocketServer({ host: '127.0.0.1', port: 0 });
    await once(server, 'listening');
    server.on(
      'connection',
      (
        /** @type {import('./ws.mjs').WebSocket} */ peer,
        /** @type {import('node:http').IncomingMessage} */ { socket },
      ) => {
        const gather = gathering(socket);
        peer.on('message', (data) => {
          gather();
          peer.send(jsonAnswer(data.toString()));
        });
      },
    );
    return server.address().port;
  },

  async connect(target, connections) {
    const asks = [];
    for (let index = 0; index < connections; ++index) {
      const socket = new library.WebSocket(`ws://127.0.0.1:${target}`, { perMessageDeflate: false });
      const [[response]] = await Promise.all([once(socket, 'upgrade'), once(socket, 'open')]);
      const gather = gathering(response.socket);
      const asker = new JsonAsker((text) => {
        gather();
        socket.send(text);
      });
      socket.on('message', (data) => asker.receive(data.toString()));
      asks.push(() => asker.ask());
    }
    return { asks };
  },
};
