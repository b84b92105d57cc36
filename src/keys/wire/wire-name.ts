/** How messages travel: in HAWSER's signed envelope, or as JSON in plain UDP as those of the original code. */
export type SaeWire = 'hawser' | 'sae-json';
