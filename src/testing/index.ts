// hawser/testing: a simulated network and its clock, for tests of programs that use hawser.

export type { Clock, Timer } from '../base/clock.js';
export {
  type CaptureListener,
  type LinkSettings,
  type RunUntilOptions,
  SimulatedNetwork,
  type SimulatedNetworkOptions,
} from './simulated-network.js';
export { VirtualClock } from './virtual-clock.js';
