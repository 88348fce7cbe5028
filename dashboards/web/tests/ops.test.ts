import { describe, expect, test } from 'vitest';
import { addressOf, askedOf, pageOf } from '../src/address';
import { opsOf, ranked, runs, tally } from '../src/ops/state';

const told = {
  mode: 'cluster', now: 1_000, k: 40,
  shards: [{ shard: 0, owner: 'w1', k: 40, lag_records: 3, lag_ms: 250, events: 9, rate: 1.5, bytes: 7, checkpoint_k: 20, checkpoint_age_s: 12.5, next: 44, state: 'ok' }, { shard: 1, owner: '', checkpoint_age_s: null, state: 'missing' }, { shard: 'desk', owner: 'w1', state: 'late' }],
  members: [{ role: 'worker', id: 'w1', seen_s: 0.5, active: true, shards: [0, 'desk'] }, { role: 'clock', id: 'c2', active: false }],
  frames: { final: 31, provisional: 9, open: [32, 33], missing: [1], waiting_s: 4.5 },
  sources: [{ source: 'a', age_s: 10, period_s: 60, state: 'ok' }, { source: 'b', age_s: null, period_s: null, state: 'stale' }, { source: 'c', age_s: 99, state: 'stale' }, { source: 'd', age_s: 5, state: 'late' }, { source: 'e', age_s: 50, state: 'ok' }],
  deadletters: { total: 5, recent: 1, by_reason: { rare: 1, often: 4 } }, log: { state: 'ok', bytes: 10, free_bytes: null },
  verdicts: [{ level: 'alarm', code: 'x', zh: '坏', en: 'bad', do_zh: '修', do_en: 'mend' }, { level: 'doom', code: 'y' }],
};

describe('the state of operation', () => {
  test('is read as told; what is not known is NaN, an unknown level grave', () => {
    const found = opsOf(told);
    expect(found.shards.map((s) => [s.id, s.state, s.owner])).toEqual([['0', 'ok', 'w1'], ['1', 'missing', ''], ['desk', 'late', 'w1']]);
    expect([found.shards[0]?.savedAge, found.shards[1]?.savedAge, found.log.free]).toEqual([12.5, NaN, NaN]);
    expect(found.members.map((m) => [m.active, m.shards])).toEqual([[true, ['0', 'desk']], [false, []]]);
    expect(found.frames).toEqual({ final: 31, provisional: 9, open: 2, missing: ['1'], waiting: 4.5 });
    expect(found.letters.reasons).toEqual([['often', 4], ['rare', 1]]);
    expect(found.verdicts.map((v) => [v.level, v.advice.en])).toEqual([['alarm', 'mend'], ['alarm', '']]);
    expect(found.history).toBeNull();
  });
  test('of a server of tomorrow or yesterday is read too', () => {
    const bare = opsOf({});
    expect([bare.mode, bare.shards, bare.sources, bare.letters.reasons, bare.verdicts]).toEqual(['single', [], [], [], []]);
    expect(opsOf({ shards: [{ shard: 3, state: 'dancing' }] }).shards[0]?.state).toBe('missing');
    expect(opsOf({ history: { store: 'InfluxDB', dropped: 2 } }).history).toMatchObject({ store: 'InfluxDB', dropped: 2, written: NaN });
  });
  test('sources in trouble come first, then those never heard, then those that are well as declared', () => {
    expect(ranked(opsOf(told).sources).map((s) => s.name)).toEqual(['c', 'd', 'b', 'a', 'e']);
  });
  test('states are counted, worst first', () => {
    expect(tally(opsOf(told).shards)).toEqual([['missing', 1], ['late', 1], ['ok', 1]]);
    expect(tally([])).toEqual([]);
  });
  test('shards are told in runs', () => {
    expect(runs(['0', '1', '2', '3', '7', 'desk'])).toBe('0–3, 7, desk');
    expect(runs(['10', '9', '2'])).toBe('2, 9, 10');
    expect(runs([])).toBe('');
  });
});

test('the page has an address of its own', () => {
  expect(['/ops', '/ops/', '/opsx', '/lab/', '/'].map(pageOf)).toEqual(['ops', 'ops', 'wall', 'lab', 'wall']);
  expect([addressOf('ops', 'aqi', '42'), askedOf('', 'ops')]).toEqual(['/ops', { id: '', why: '' }]);
});
