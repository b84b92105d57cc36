// Reads of the interaction layer without a transport: both sides in one process, each message delivered in a turn of its own or with
// others of the same turn. What a transport costs is the difference to `requests-hawser`.
import {
  attributes,
  Device,
  endpoint,
  feature,
  InteractionConnection,
  thermometer,
} from '../lib/interaction.mjs';

const [attribute = 0] = attributes;
const asked = [attribute];

/** @typedef {import('../../dist/base/message-connection.js').MessageReceiver} MessageReceiver */

/**
 * One direction. What is sent in one turn of the event loop arrives in the next one.
 *
 * @param {() => MessageReceiver} receiver
 */
function direction(receiver) {
  /** @type {Uint8Array[]} */
  let queue = [];
  const deliver = () => {
    const messages = queue;
    queue = [];
    for (const message of messages) receiver().message(message);
  };
  return {
    detectsLoss: true,
    /** @param {Uint8Array} message */
    send(message) {
      if (queue.push(message.slice()) === 1) setImmediate(deliver);
      return true;
    },
    close: () => undefined,
  };
}

/** @type {import('./requests.mjs').RequestDriver} */
export const driver = {
  async serve() {
    return null;
  },

  async connect(_, connections) {
    const device = new Device({ handlers: thermometer() });
    const asks = Array.from({ length: connections }, () => {
      /** @type {InteractionConnection} */
      const client = new InteractionConnection(direction(() => served));
      const served = device.accept(direction(() => client));
      return async () => Number((await client.read(endpoint, feature, asked)).get(attribute));
    });
    return { asks };
  },
};
