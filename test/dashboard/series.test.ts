import { expect, it } from 'vitest';
import { Series } from '../../dashboard/lib/series.js';
import { type Sample, sampleOf } from '../../src/gateway/admin/samples.js';
import { FakeGateway } from '../gateway/admin/fake-gateway.js';

function sampleAt(timeMs: number, totals: Partial<Sample>): Sample {
  return { ...sampleOf(new FakeGateway().snapshot()), timeMs, ...totals };
}

it('losses and spurious losses are shares of the packets sent since the sample before', () => {
  const series = new Series();
  series.add([
    sampleAt(5000, { packetsSentTotal: 10_000, packetsLostTotal: 9000, spuriousLossesTotal: 8000 }),
    sampleAt(10_000, { packetsSentTotal: 10_200, packetsLostTotal: 9050, spuriousLossesTotal: 8010 }),
    sampleAt(15_000, { packetsSentTotal: 10_200, packetsLostTotal: 9060, spuriousLossesTotal: 8060 }),
    // More than was sent in this time: packets of the time before were lost.
    sampleAt(20_000, { packetsSentTotal: 10_210, packetsLostTotal: 9080, spuriousLossesTotal: 8090 }),
  ]);
  expect(series.points.map(({ loss, spuriousLoss }) => [loss, spuriousLoss])).toEqual([
    [0.25, 0.05],
    [0, 0],
    [1, 1],
  ]);
});
