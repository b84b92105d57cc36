// npm run bench [-- options]: see bench/main.mjs and docs/performance.md.
import { main } from '../bench/main.mjs';

process.exitCode = await main(process.argv.slice(2));
