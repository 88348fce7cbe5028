import { describe, expect, test } from 'vitest';
import { added, drain, opOf, pause, reached, revive, untold, type Outcome, type Waiting } from '../src/unit/offline';
import { within } from '../src/unit/photo';

const w = (idem: string, op = 'case.arrived', subject = 'C-1'): Waiting => ({ idem, op, subject, fields: {}, at: 1, tries: 0 });

describe('what was pressed without a network', () => {
  test('is sent in order; one that nobody answers holds back what follows', async () => {
    const seen: string[] = [];
    const end = await drain([w('a'), w('b'), w('c')], (one) => { seen.push(one.idem); return Promise.resolve<Outcome>(one.idem === 'b' ? { how: 'away' } : { how: 'sent' }); });
    expect(seen).toEqual(['a', 'b']);
    expect(end.left.map((x) => [x.idem, x.tries])).toEqual([['b', 1], ['c', 0]]);
    expect(end.sent.map((x) => x.idem)).toEqual(['a']);
  });
  test('that is refused for good is told, and what follows is tried', async () => {
    const end = await drain([w('a'), w('b')], (one) => Promise.resolve<Outcome>(one.idem === 'a' ? { how: 'refused', words: 'not now' } : { how: 'sent' }));
    expect([end.left, end.sent.map((x) => x.idem), end.refused.map((x) => x.words)]).toEqual([[], ['b'], ['not now']]);
  });
  test('keeps its key, and the same key is kept once', () => {
    const queue = added([], w('a'));
    expect([added(queue, w('a')).length, added(queue, w('b')).map((x) => x.idem)]).toEqual([1, ['a', 'b']]);
  });
  test('comes back after a reload; what is no queue is an empty one', () => {
    expect(revive(JSON.stringify([w('a'), { idem: 5 }, null, w('b')])).map((x) => x.idem)).toEqual(['a', 'b']);
    expect([revive(null), revive('{'), revive('{"a":1}')]).toEqual([[], [], []]);
  });
  test('counts as done here, before the server knows', () => {
    expect(reached('received', [w('a', 'case.enroute')], 'C-1')).toBe(1);
    expect(reached('received', [w('a', 'case.enroute', 'C-2')], 'C-1')).toBe(0);
    expect([reached('sent', [], 'C-1'), reached('on_scene', [], 'C-1'), reached('on_scene', [w('a', 'case.cleared')], 'C-1')]).toEqual([-1, 2, 3]);
  });
  test('and was taken counts until the case tells it, so that no step is offered twice', () => {
    const taken = [{ op: 'case.enroute', subject: 'C-1', rev: 5 }, { op: 'case.arrived', subject: 'C-1', rev: 6 }, { op: 'case.noted', subject: 'C-2', rev: 3 }];
    expect(reached('sent', taken, 'C-1')).toBe(2);
    expect([untold(taken, 'C-1', 5).length, untold(taken, 'C-1', 6).map((x) => x.subject)]).toEqual([2, ['C-2']]);
    expect(untold([{ op: 'case.enroute', subject: 'C-1', rev: NaN }], 'C-1', 5)).toEqual([]);
  });
  test('waits longer each time, a minute at most', () => expect([0, 1, 3, 99].map(pause)).toEqual([2_000, 4_000, 16_000, 60_000]));
  test('a unit that supports is clear at the end', () => expect([opOf('handled', 'lead'), opOf('handled', 'support'), opOf('arrived', 'support')]).toEqual(['case.handled', 'case.cleared', 'case.arrived']));
});

test('a picture is made smaller, never larger, and keeps its shape', () => {
  expect([within(4000, 3000), within(800, 600), within(1, 90_000)]).toEqual([[1600, 1200], [800, 600], [1, 1600]]);
});
