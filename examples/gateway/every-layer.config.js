// hawser.config.js and the fifth layer, keys: the gateway is the SAE "SAE_B", whose peer connects to it. What it needs is made by
//
//   npx hawser keygen --out server.key
//   npx hawser kme certs --out certs --kme KME_A,KME_B --sae SAE_A,SAE_B
//   npx hawser sae keygen --out SAE_A.pem --master-key SAE_A.master
//   npx hawser sae keygen --out SAE_B.pem --master-key SAE_B.master
//   npx hawser kme --certs certs
//
// in this directory; then, while the KMEs run, `npx hawser gateway --config every-layer.config.js`. Its peer is ../keys/master.json, put here:
// `npx hawser sae master --config master.json`, and `npx hawser sae rotate --config master.json` changes the keys of their connection.

import { defineConfig } from 'hawser/gateway';
import config from './hawser.config.js';

export default defineConfig({
  ...config,
  // The peer makes its tokens with the same key.
  keys: [{ file: 'server.key' }],
  listeners: [...config.listeners, { name: 'saes', address: '127.0.0.1:4450', layers: ['keys'] }],
  sae: './sae.json',
});
