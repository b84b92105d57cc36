// A NAT between real sockets: one client behind it, whose outer address a test can change.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** Where a datagram goes: `up` is from the client to its gateway. */
export type NatDirection = 'up' | 'down';

async function bound(address: string): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  return socket;
}

/** Forwards the datagrams of one client to the gateway, and those that come back. */
export class Nat {
  /** Port of the gateway on 127.0.0.1. */
  gatewayPort = 0;
  /** Sees each datagram, and decides whether and when to forward it by calling `send`. Forwards it at once by default. */
  onDatagram: (direction: NatDirection, datagram: Buffer, send: () => void) => void = (_, __, send) => send();
  /** Faces the client. */
  readonly #inner: Socket;
  /** Faces the gateway: its address is the client's for the gateway. */
  #outer: Socket;
  #client: { address: string; port: number } | undefined;

  private constructor(inner: Socket, outer: Socket) {
    this.#inner = inner;
    this.#outer = outer;
    inner.on('message', (datagram, client) => {
      this.#client = client;
      this.onDatagram('up', datagram, () => this.#outer.send(datagram, this.gatewayPort, '127.0.0.1'));
    });
    this.#listenOutside();
  }

  /** @param address outer one of the client. */
  static async open(address = '127.0.0.1'): Promise<Nat> {
    return new Nat(await bound('127.0.0.1'), await bound(address));
  }

  /** Where the client reaches the gateway. */
  get address(): string {
    return `127.0.0.1:${this.#inner.address().port}`;
  }

  /** From now on the client's datagrams come from another port, perhaps of another address. What comes to the old one is lost. */
  async rebind(address = '127.0.0.1'): Promise<void> {
    const before = this.#outer;
    this.#outer = await bound(address);
    this.#listenOutside();
    before.close();
  }

  close(): void {
    this.#inner.close();
    this.#outer.close();
  }

  #listenOutside(): void {
    this.#outer.on('message', (datagram) => {
      const client = this.#client;
      if (client === undefined) return;
      this.onDatagram('down', datagram, () => this.#inner.send(datagram, client.port, client.address));
    });
  }
}
