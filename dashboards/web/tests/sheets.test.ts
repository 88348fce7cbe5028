import { describe, expect, test } from 'vitest';
import { parse, type World } from '../src/dispatch/grammar';
import { commands, proposalOf, saved, ticked } from '../src/dispatch/proposal';

const world: World = { selected: 'C-10241', cases: ['C-10241', 'C-10242'], units: ['U7'], alarms: [], now: 0 };
const candidate = { unit: 'U7', name: '排水1队', eta_s: 160, terms: { time: 0.9, skill: 1, load: 1, area: 1 }, score: 0.96, feasible: true };
const told = {
  at: 5, waiting: 3, units: 2, objective: { batch: 10.5, nearest: 14 },
  items: [
    { case: 'C-10241', rev: 3, level: 2, title: { zh: '积水', en: 'Water' }, unit: 'U7', candidate, cost: { total: 0.11, time: 0.11, load: 0, leave: 11 }, nearest: { unit: 'U8', eta_s: 90 } },
    { case: 'C-10242', rev: 4, level: 3, unit: 'U8', candidate: { ...candidate, unit: 'U8' }, cost: { total: 0.2, time: 0.2, load: 0 }, nearest: null },
    { case: 'C-10243', rev: 5, level: 4, unit: null, candidate: null, why: { zh: '力量不足', en: 'not enough' }, cost: { total: 10.2, leave: 10.2 }, nearest: null },
  ],
};

describe('the batch', () => {
  test('is read with its costs; a case that is left has no unit and cannot be ticked', () => {
    const p = proposalOf(told);
    expect(p.offers.map((o) => [o.code, o.unit?.unit ?? null, o.nearest])).toEqual([['C-10241', 'U7', 'U8'], ['C-10242', 'U8', ''], ['C-10243', null, '']]);
    expect([p.batch, p.nearest, saved(p), saved(proposalOf({}))]).toEqual([10.5, 14, 0.25, 0]);
    expect(ticked(p, new Set())).toEqual(['C-10241', 'C-10242']);
    expect(ticked(p, new Set(['C-10241']))).toEqual(['C-10242']);
  });
  test('sends what is ticked, each with the revision that was looked at', () => {
    const p = proposalOf(told);
    expect(commands(p, new Set(['C-10242', 'C-10243']))).toEqual([{ op: 'case.dispatched', subject: 'C-10242', fields: { unit: 'U8', strategy: 'batch' }, rev: 4 }]);
  });
  test('is asked for by its name, whatever case is open', () => {
    expect(['批派', '整批', '/batch', '批 查明', '派 7'].map((line) => parse(line, world).shows)).toEqual(['batch', 'batch', 'batch', '', '']);
    expect(parse('batch', world)).toMatchObject({ commands: [], problem: null });
  });
});
