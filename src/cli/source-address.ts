/** Peers that have an address of their own in 127.0.0.0/8. */
const hostsPerBlock = 254;
const blocks = 254 * 256;

/**
 * The loopback address of a simulated peer: 127.1.0.1, 127.1.0.2 and so on, without the .0 and .255 that look like a network and its
 * broadcast. After 16,516,096 peers they begin again.
 *
 * @param index 0 and up.
 */
export function sourceAddress(index: number): string {
  const block = Math.floor(index / hostsPerBlock) % blocks;
  return `127.${1 + Math.floor(block / 256)}.${block % 256}.${1 + (index % hostsPerBlock)}`;
}
