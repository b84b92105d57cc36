/** The wire formats that this package speaks: HAWSER 1 (docs/protocol.md) and netcode 1.02 (its STANDARD.md). */
export type Wire = 'hawser' | 'netcode';

export const wires: readonly Wire[] = ['hawser', 'netcode'];
