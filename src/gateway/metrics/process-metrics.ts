// What is measured of a gateway and its process, by the conventions of Prometheus.

import { type Metric, MetricMaker } from '../../base/metrics.js';
import type { GatewaySnapshot, GatewayState } from '../snapshot.js';

const gateway: MetricMaker<GatewaySnapshot> = new MetricMaker('gateway');
const ofProcess: MetricMaker<GatewaySnapshot> = new MetricMaker('process');

const states: readonly GatewayState[] = ['STARTING', 'RUNNING', 'DRAINING', 'STOPPED'];
const msPerSecond = 1000;
const microsPerSecond = 1_000_000;

/** Metrics of the gateway itself. */
export const gatewayMetrics: readonly Metric<GatewaySnapshot>[] = [
  {
    name: 'hawser_gateway_info',
    help: 'Always 1: the name of the gateway, the version of the package and that of Node.js.',
    type: 'gauge',
    labels: ['name', 'version', 'node'],
    read: ({ name, version, node }) => [{ labels: { name, version, node }, value: 1 }],
  },
  gateway.gaugeBy('state', 'state', 'Whether the gateway is in that state: 1 or 0.', ({ state }) =>
    Object.fromEntries(states.map((each) => [each, Number(each === state)])),
  ),
  gateway.gauge(
    'start_time_seconds',
    'When the gateway was started, in Unix seconds.',
    ({ startedAtMs }) => startedAtMs / msPerSecond,
  ),
];

/** Metrics of the process that the gateway runs in. */
export const processMetrics: readonly Metric<GatewaySnapshot>[] = [
  ofProcess.counter(
    'cpu_seconds_total',
    'Processor time, user and system, of all threads.',
    ({ process: { cpuMicros } }) => cpuMicros / microsPerSecond,
  ),
  ofProcess.gauge('resident_memory_bytes', 'Resident memory.', ({ process: { rssBytes } }) => rssBytes),
  ofProcess.gauge(
    'heap_used_bytes',
    'JavaScript heap that is in use.',
    ({ process }) => process.heapUsedBytes,
  ),
  ofProcess.counter(
    'unhandled_listener_errors_total',
    'Exceptions of listeners, handlers, hooks and codecs that no listener of listenerError took.',
    ({ process }) => process.unhandledListenerErrors,
  ),
  ofProcess.gaugeBy(
    'loop_delay_seconds',
    'statistic',
    'For how long the event loop stood still at a time: median, 99th percentile and greatest of late.',
    ({ process: { loopDelayMs } }) => ({
      p50: loopDelayMs.p50 / msPerSecond,
      p99: loopDelayMs.p99 / msPerSecond,
      max: loopDelayMs.max / msPerSecond,
    }),
  ),
];
