// A device and its controllers in one process, in virtual time.

import { Device, type DeviceHandlers } from '../../src/interaction/device.js';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import { InteractionConnection } from '../../src/interaction/interaction-connection.js';
import { End } from './ends.js';
import { VirtualTime } from './virtual-time.js';

/** One that serves one request of a connection at a time, for at most 5 s. */
export function meetInMemory(handlers: DeviceHandlers): {
  readonly time: VirtualTime;
  readonly device: Device;
  /** Another controller, and the other side of its connection. */
  readonly connect: () => {
    readonly controller: InteractionConnection;
    readonly served: InteractionConnection;
  };
} {
  const time = new VirtualTime();
  const connections = { maxServed: 1, serveTimeoutMs: 5000 };
  const device = new Device({ wheel: time.wheel, handlers, connections });
  const connect = () => {
    const [near, far] = [new End(true, hawserCodec()), new End(true, hawserCodec())];
    [near.far, far.far] = [far, near];
    const served = device.accept(far);
    far.receiver = served;
    const controller = new InteractionConnection(near, { wheel: time.wheel });
    near.receiver = controller;
    return { controller, served };
  };
  return { time, device, connect };
}
