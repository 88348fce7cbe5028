import { describe, expect, test } from 'vitest';
import { parse, type World } from '../src/dispatch/grammar';
import { caseOf } from '../src/dispatch/nouns';
import { commands, proposalOf, saved, ticked } from '../src/dispatch/proposal';
import { board, discarding, ending, issuing } from '../src/dispatch/warning';
import { bearing, nextMove, noReceipt, standing, turn } from '../src/dispatch/queue';

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

describe('a unit that gives no receipt', () => {
  const c = (state: string, unit: Record<string, unknown>): ReturnType<typeof caseOf> => caseOf({ code: 'C-1', state, units: [{ unit: 'U7', role: 'lead', state: 'sent', since: 1, receipt_due: 100, ...unit }] });
  const may = (op: string): boolean => op === 'case.dispatched';
  test('has its case wait for another one, once the time is over', () => {
    expect([standing(c('dispatched', {}), 99), standing(c('dispatched', {}), 100), standing(c('received', {}), 100), standing(c('dispatched', { state: 'received', receipt_due: null }), 900)]).toEqual(['dispatched', 'unanswered', 'received', 'dispatched']);
    expect([turn(standing(c('dispatched', {}), 100), may), turn('dispatched', may), nextMove('unanswered', ['case.dispatched']), nextMove('dispatched', ['case.dispatched'])]).toEqual([0, 2, 'case.dispatched', '']);
  });
  test('in support it is named, and the case goes on', () => {
    const both = caseOf({ code: 'C-1', state: 'dispatched', units: [{ unit: 'U7', role: 'lead', state: 'received', since: 1 }, { unit: 'U8', role: 'support', state: 'sent', since: 1, receipt_due: 5 }] });
    expect([standing(both, 9), noReceipt(both, 9).map((u) => u.unit)]).toEqual(['dispatched', ['U8']]);
    expect(both.units.map((u) => bearing(u, both, u.unit === 'U7' ? 'silent' : 'busy', 9))).toEqual(['silent', 'unanswered']);
    expect(both.units.map((u) => bearing(u, both, undefined, 4))).toEqual(['received', 'sent']);
  });
});

describe('public warnings', () => {
  const HOUR = 3_600_000;
  const plan = (code: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
    code, rev: 3, state: 'active', title: { zh: '内涝', en: 'Waterlogging' }, area: '420106', cap: { expires_ms: 2 * HOUR },
    warning: { colour: 'orange', headline: '内涝橙色预警', headline_en: 'Waterlogging', category: 'Met Safety', urgency: 'Immediate', run: code }, ...more,
  });
  const warning = (code: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({ code, rev: 2, colour: 'orange', headline: { zh: '内涝', en: '' }, scope: '420106', expires: 9, lapsed: true, issued_by: 'chief', issued_at: 5, ...more });
  const seen = board({ items: [warning('W-1', { run: 'R-1' }), warning('W-2', { run: 'R-2', colour: 'yellow' })] }, { items: [plan('R-1'), plan('R-2'), plan('R-3', { discarded: true }), plan('R-4', { warning: {} }), plan('R-5', { state: 'reporting' }), plan('R-6', { drill: true })] }, 1_000);
  test('a draft is one of which nothing was issued, or another colour; the discarded come last', () => {
    expect(seen.drafts.map((d) => [d.run, d.standing?.code ?? '', d.discarded, d.level])).toEqual([['R-2', 'W-2', false, 2], ['R-6', '', false, 2], ['R-3', '', true, 2]]);
    expect(seen.inForce.map((w) => [w.code, w.level, w.lapsed, w.by])).toEqual([['W-1', 2, true, 'chief'], ['W-2', 3, true, 'chief']]);
    expect(seen.drafts[0]?.details).toEqual([['category', ['Met', 'Safety']], ['urgency', ['Immediate']]]);
    expect(board({}, {}, 0)).toEqual({ inForce: [], drafts: [] });
  });
  test('is issued for its area with its expiry, a standing one is said anew, and what was looked at is named', () => {
    const [change, drill] = seen.drafts;
    if (!change || !drill) throw new Error('no drafts');
    expect(issuing(drill, 1_000)).toMatchObject({ op: 'warning.issued', subject: '', scope: '420106', drill: true, fields: { colour: 'orange', run: 'R-6', expires: new Date(1_000 + 2 * HOUR).toISOString() } });
    expect(issuing(change, 1_000)).toMatchObject({ subject: 'W-2', rev: 2, fields: { colour: 'orange' } });
    expect(issuing(change, 1_000).scope).toBeUndefined();
    expect(discarding(drill)).toEqual({ op: 'plan.draft_discarded', subject: 'R-6', fields: {}, rev: 3 });
    expect(seen.inForce.slice(0, 1).map(ending)).toEqual([{ op: 'warning.ended', subject: 'W-1', fields: {}, rev: 2 }]);
  });
  test('is asked for by its name', () => {
    expect(['预警', 'warnings'].map((line) => parse(line, world).shows)).toEqual(['warnings', 'warnings']);
  });
});
