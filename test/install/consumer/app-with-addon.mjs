// What a bundle is made of that holds the code of the package, and carries the addon beside itself.
import { fileURLToPath } from 'node:url';

process.env.HAWSER_ADDON ??= fileURLToPath(new URL('./hawser.node', import.meta.url));
const { exchange } = await import('./exchange.mjs');
console.log(await exchange('bundled'));
