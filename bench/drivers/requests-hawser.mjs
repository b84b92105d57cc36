// Reads of the interaction layer over hawser: `Device` and `InteractionConnection`, with every check and limit of theirs.
import { attributes, connectClients, endpoint, feature, openGateway } from '../lib/interaction.mjs';

const [attribute = 0] = attributes;
const asked = [attribute];

/** @type {import('./requests.mjs').RequestDriver} */
export const driver = {
  async serve(connections) {
    const { target } = await openGateway(connections);
    return target;
  },

  async connect(target, connections) {
    const { clients, sockets } = await connectClients(
      /** @type {import('../lib/interaction.mjs').Target} */ (target),
      connections,
    );
    return {
      asks: clients.map((client) => async () => {
        const values = await client.read(endpoint, feature, asked);
        return Number(values.get(attribute));
      }),
      datagrams: () =>
        sockets
          .map(({ stats: { socket } }) => (socket.datagramsIn ?? 0) + (socket.datagramsOut ?? 0))
          .reduce((sum, each) => sum + each, 0),
    };
  },
};
