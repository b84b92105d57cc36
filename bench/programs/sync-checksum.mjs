// A manager's store with documents of one agent, whose checksum is asked for again and again. Configuration: {store, documents, bytes}.

import { checksumOf, documentSha1 } from '../../dist/sync/index.js';
import { configuration, serve, sharedTimeMs } from '../lib/program.mjs';
import { documentOf, idOf, index, openStore } from '../lib/sync.mjs';

const {
  store: folder,
  documents,
  bytes,
} = /** @type {{store: string, documents: number, bytes: number}} */ (configuration());
const store = await openStore(folder);
const agent = '1';

function* changes() {
  for (let number = 0; number < documents; ++number) {
    yield {
      operation: /** @type {const} */ ('Upsert'),
      index,
      id: idOf(number),
      version: 0n,
      data: documentOf(number, bytes),
    };
  }
}

serve({
  fill: async () => {
    const numbers = { session: 1n, nonce: 1n, generation: 1n };
    const session = { agent, module: 'module', mode: /** @type {const} */ ('DELTA'), indices: [index] };
    const beganMs = sharedTimeMs();
    await store.commit(store.begin({ ...session, ...numbers, size: documents }), changes(), () => 0);
    return { ms: sharedTimeMs() - beganMs };
  },
  checksum: async () => {
    const beganMs = sharedTimeMs();
    const checksum = await store.checksum(agent, index);
    return { ms: sharedTimeMs() - beganMs, checksum };
  },
  // As an agent computes it, of the documents themselves.
  expected: () =>
    checksumOf(Array.from({ length: documents }, (_, number) => documentSha1(documentOf(number, bytes)))),
  close: () => store.close(),
});
