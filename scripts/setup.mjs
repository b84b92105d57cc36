// Makes a clone ready: system packages, npm dependencies, the addon, dist. Run by prestart and pretest.
//
//   node scripts/setup.mjs [--for start|test|fuzz|bench|prebuild]
//
// This first file must be understood by Node versions far too old for the rest, to be able to say so; hence no
// `node:` imports and nothing newer than 2018 in it.
const version = process.versions.node.split('.').map(Number);
const supported =
  (version[0] === 20 && version[1] >= 19) || (version[0] === 22 && version[1] >= 12) || version[0] > 22;
if (supported) {
  import('./lib/setup.mjs').then((setup) => setup.main(process.argv.slice(2)));
} else {
  console.error(
    'hawser needs Node.js 20.19 or later (20.x), or 22.12 or later; this is ' +
      process.versions.node +
      '. Install a newer one from https://nodejs.org/',
  );
  process.exitCode = 1;
}
