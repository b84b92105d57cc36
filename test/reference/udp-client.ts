// A client of the independent implementation on a real socket of its own.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { ReferenceClient, type ReferenceClientOptions } from './endpoints.js';
import { ready } from './hawser1.js';

const resendMs = 100;

export class UdpClient {
  readonly socket: Socket;
  readonly client: ReferenceClient;
  /** Resolves when the last datagram is sent. */
  #sent: Promise<void> = Promise.resolve();

  private constructor(options: Omit<ReferenceClientOptions, 'sendDatagram'>, socket: Socket) {
    this.socket = socket;
    this.client = new ReferenceClient({
      ...options,
      sendDatagram: (datagram, { port, host }) => {
        this.#sent = new Promise((resolve) => {
          socket.send(datagram, port, host, () => resolve());
        });
      },
    });
  }

  /**
   * Connects. The session packets that arrive afterwards are for the caller to listen to.
   *
   * @param localAddress 127.0.0.1 by default.
   */
  static async connect(
    options: Omit<ReferenceClientOptions, 'sendDatagram'>,
    localAddress = '127.0.0.1',
  ): Promise<UdpClient> {
    await ready;
    const socket = createSocket('udp4');
    socket.bind(0, localAddress);
    await once(socket, 'listening');
    const udp = new UdpClient(options, socket);
    const { client } = udp;
    const resending = setInterval(() => client.resend(), resendMs);
    await new Promise<void>((resolve) => {
      socket.on('message', (datagram, from) => {
        client.receive(datagram, { host: from.address, port: from.port });
        if (client.state === 'CONNECTED') resolve();
      });
      client.start();
    });
    clearInterval(resending);
    socket.removeAllListeners('message');
    return udp;
  }

  get connected(): boolean {
    return this.client.state === 'CONNECTED';
  }

  /** Closes the socket once everything is sent. */
  async close(): Promise<void> {
    await this.#sent;
    this.socket.close();
  }
}
