import { describe, expect, test } from 'vitest';
import { acknowledging, counted, grouped, MOST_GROUPS, sounding } from '../src/dispatch/alarms';
import { brief, completion, duration, meant, parse, VERBS, type World } from '../src/dispatch/grammar';
import { sections } from '../src/dispatch/hand';
import { half, personal, speaker, words } from '../src/dispatch/lines';
import { alike, likeness, pairs } from '../src/dispatch/intake';
import { alarmOf, caseOf, fileOf, levelOf, meOf, unitOf, type Alarm, type Case } from '../src/dispatch/nouns';
import { apart, deadline, lead, metres, nextMove, pressure, sorted, span, stageAt, stages, turn as whose, used, windowed } from '../src/dispatch/queue';
import { answerOf } from '../src/dispatch/answer';
import { bow, circle, turn } from '../src/map/overlay';

const MIN = 60_000;
const a = (code: string, more: Record<string, unknown> = {}): Case => caseOf({ code, state: 'filed', level: 3, ...more });
const alarm = (code: string, more: Record<string, unknown> = {}): Alarm => alarmOf({ code, priority: 2, active: true, acked: false, state: 'unack', occurrence: 1, since: 100, rev: 4, ...more });

test('what a rule has the desk do is said in one language, what people write stays', () => {
  const e = { type: 'case.dispatched', text: '按规则自动派遣：排水1队最快 / sent by a rule: 排水1队 is nearest', actor: 'system' };
  expect([words(e, 'zh', () => ''), words(e, 'en', () => ''), words({ ...e, actor: 'anna' }, 'en', () => ''), speaker('system')]).toEqual(['按规则自动派遣：排水1队最快', 'sent by a rule: 排水1队 is nearest', e.text, '']);
  expect(fileOf({ code: 'C', timeline: [{ t: 1, type: 'case.enroute', unit: 'U7' }, { t: 2, type: 'case.noted', unit: null }] }).timeline.map((x) => x.unit)).toEqual(['U7', '']);
});

test('a name in both languages is said in one', () => {
  expect([personal('派遣员 Dispatcher', 'zh'), personal('派遣员 Dispatcher', 'en'), personal('Anna B', 'zh'), personal('王五', 'en')]).toEqual(['派遣员', 'Dispatcher', 'Anna B', '王五']);
});

describe('what the server tells', () => {
  test('a short form is merged with what was known; what is not said is none', () => {
    const first = caseOf({ code: 'C-1', rev: 3, level: 'II', title: { zh: '积水', en: 'Water' }, state: 'filed', stage_due: 50, units: [{ unit: 'U7', role: 'lead', state: 'sent', since: 9 }] });
    expect([first.level, first.title.en, first.units[0]?.unit, first.due]).toEqual([2, 'Water', 'U7', NaN]);
    const next = caseOf({ code: 'C-1', rev: 4, state: 'dispatched', stage_due: null, title: 'plain' }, first);
    expect([next.rev, next.state, next.level, next.title, next.units.length]).toEqual([4, 'dispatched', 2, { zh: 'plain', en: 'plain' }, 1]);
    expect(next.stageDue).toBeNaN();
  });
  test('a full form of a server of tomorrow, or of nothing, is read too', () => {
    const bare = fileOf({ code: 'C-2', why: null, legal: ['case.closed'], timeline: [null, { t: 5, type: 'case.filed' }], candidates: 'none', plan: null, duplicates: [{ code: 'C-3', terms: { text: 0.5, odd: 'x' } }] });
    expect([bare.legal, bare.why, bare.timeline.length, bare.candidates, bare.plan, bare.duplicates[0]?.terms]).toEqual([['case.closed'], null, 1, [], null, { text: 0.5 }]);
    const why = fileOf({ code: 'C', why: { rule: 'R', parts: [{ label: 'x', value: true, ok: true }, { label: 'y', value: 4.5, unit: 'cm', evidence: [{ id: 'e', time: 7 }] }, { label: 'z', value: null }] } }).why;
    expect(why?.parts.map((p) => [p.value, p.ok])).toEqual([['yes', true], ['4.5', false], ['', false]]);
    expect([why?.at, why?.confidence]).toEqual([7, NaN]);
  });
  test('hostile words stay words, levels are 1..4 or none', () => {
    expect(caseOf({ code: 'C', text: '<img src=x onerror=alert(1)>' }).text).toBe('<img src=x onerror=alert(1)>');
    expect([levelOf(0), levelOf(5), levelOf('IV'), levelOf(1), levelOf(null), levelOf('<b>')]).toEqual([0, 0, 4, 1, 0, 0]);
  });
  test('units and people', () => {
    const u = unitOf({ code: 'U7', skills: 'drainage pump', state: 'ready' });
    expect([u.skills, unitOf({ code: 'U7', state: 'busy' }, u).skills]).toEqual([['drainage', 'pump'], ['drainage', 'pump']]);
    expect(meOf({ user: 'w', roles: [{ code: 'd', title: { zh: '派遣员', en: 'Dispatcher' } }], may: ['case.filed'], unit: null })).toMatchObject({ unit: '', may: ['case.filed'], roles: [{ en: 'Dispatcher' }] });
  });
});

describe('the timeline', () => {
  const place = (code: string): string => (code === '420116' ? 'Huangpi' : '');
  test('speaks one language, with names for places', () => {
    const text = '处置时限已用 150 %：升级；420116, 420199 无人值班 / 150 % of the time for handling used: escalated; nobody on duty in 420116, 420199';
    const e = { type: 'case.escalated', actor: 'desk/auto', text };
    expect(words(e, 'en', place)).toBe('150 % of the time for handling used: escalated; nobody on duty in Huangpi, 420199');
    expect(words(e, 'zh', place)).toBe('处置时限已用 150 %：升级；Huangpi, 420199 无人值班');
    expect([half('水 / 5', 'en'), half('a / b', 'zh'), half('一楼 / 二楼', 'en')]).toEqual(['水 / 5', 'a / b', '一楼 / 二楼']);
  });
  test('leaves what people wrote, and says no move twice', () => {
    expect(words({ type: 'case.noted', actor: 'desk/demo', text: '水深 / depth of 420116' }, 'en', place)).toBe('水深 / depth of 420116');
    expect(words({ type: 'case.accepted', actor: 'clerk', text: 'accepted' }, 'en', place)).toBe('');
    expect([speaker('desk/auto'), speaker('desk/anna'), speaker('unit')]).toEqual(['', 'anna', 'unit']);
  });
});

describe('the queue', () => {
  test('is by the clock that ends first, overdue before all, those without a clock last', () => {
    const list = [a('late', { stage_due: 5 }), a('none'), a('soon', { stage_due: 900, due_at: 50 }), a('over', { state: 'closed', stage_due: 1 }), a('two', { due_at: 50, level: 1 })];
    expect(sorted(list).map((c) => c.code)).toEqual(['late', 'two', 'soon', 'none']);
    expect(deadline(a('x', { stage_due: 900, due_at: 50 }))).toBe(50);
    expect(sorted([...list].reverse())).toEqual(sorted(list));
  });
  test('begins with what waits for who looks at it', () => {
    const list = [a('late', { state: 'arrived', stage_due: 5 }), a('check', { state: 'handled', stage_due: 6 }), a('send', { stage_due: 70 }), a('held', { state: 'deferred', stage_due: 1 })];
    const by = (...may: string[]): string[] => sorted(list, (c) => whose(c.state, (op) => may.includes(op))).map((c) => c.code);
    expect(by('case.dispatched', 'case.closed')).toEqual(['send', 'held', 'late', 'check']);
    expect(by('case.verified')).toEqual(['check', 'held', 'late', 'send']);
    expect(by()).toEqual(['held', 'late', 'check', 'send']);
  });
  test('says how much of the clock is used', () => {
    const c = a('x', { stage_since: 0, stage_due: 100 * MIN });
    expect([used(c, 50 * MIN), used(c, 100 * MIN), used(c, 200 * MIN), used(a('y'), 5)]).toEqual([0.5, 1, 1, NaN]);
    expect([pressure(c, 10 * MIN), pressure(c, 85 * MIN), pressure(c, 101 * MIN)]).toEqual(['', 'near', 'over']);
  });
  test('stages follow the state, with the time of what was done', () => {
    const c = { ...a('x', { state: 'received', reported_at: 1, filed_at: 2, stage_due: 90 }), timeline: [{ at: 3, type: 'case.dispatched', actor: '', text: '', unit: 'U7', id: '', hash: '' }] };
    expect(stages(c).map((s) => s.how)).toEqual(['done', 'done', 'done', 'now', 'wait', 'wait']);
    expect(stages(c).slice(0, 4).map((s) => s.at)).toEqual([1, 2, 3, 90]);
    expect(['new', 'reported', 'returned', 'parked', 'arrived', 'handled', 'verified', 'closed'].map(stageAt)).toEqual([0, 1, 2, 2, 3, 4, 5, 6]);
  });
  test('the next move is only one that is legal', () => {
    expect([nextMove('filed', ['case.dispatched']), nextMove('filed', []), nextMove('handled', ['case.verified']), nextMove('closed', ['case.reopened'])]).toEqual(['case.dispatched', '', 'case.verified', '']);
  });
  test('only the rows that are seen are drawn', () => {
    expect([windowed(1000, 0, 330, 33), windowed(1000, 3300, 330, 33), windowed(5, 0, 330, 33)]).toEqual([{ from: 0, to: 12 }, { from: 98, to: 112 }, { from: 0, to: 5 }]);
  });
  test('spans, metres, distances', () => {
    expect([span(160), span(860), span(3900), span(NaN)]).toEqual(['2:40', '14:20', '1:05:00', '—']);
    expect([metres(84), metres(123), metres(1420), metres(NaN)]).toEqual(['84 m', '120 m', '1.4 km', '—']);
    expect(apart(114, 30, 114, 30.001)).toBeCloseTo(111.19, 1);
    expect(lead(a('x', { units: [{ unit: 'A', role: 'support' }, { unit: 'B', role: 'lead' }] }))?.unit).toBe('B');
  });
});

describe('the command bar', () => {
  const world: World = { selected: 'C-10243', cases: ['C-10241', 'C-10238', 'C-10243', 'D-10238'], units: ['U7', 'U17', 'U5'], alarms: ['flood@420102', 'pump@420106'], now: 1_000 };
  const one = (line: string): unknown => parse(line, world).commands[0];
  test.each([
    ['派 10241 U7', { op: 'case.dispatched', subject: 'C-10241', fields: { unit: 'U7' } }],
    ['send 10241 u7', { op: 'case.dispatched', subject: 'C-10241', fields: { unit: 'U7' } }],
    ['/派10241 U7', { op: 'case.dispatched', subject: 'C-10241', fields: { unit: 'U7' } }],
    ['d U5', { op: 'case.dispatched', subject: 'C-10243', fields: { unit: 'U5' } }],
    ['协 10241 U5', { op: 'case.assigned', subject: 'C-10241', fields: { unit: 'U5', role: 'support' } }],
    ['并 C-10241 C-10238', { op: 'case.merged', subject: 'C-10238', fields: { into: 'C-10241' } }],
    ['merge 10241', { op: 'case.merged', subject: 'C-10241', fields: { into: 'C-10243' } }],
    ['记 到场', { op: 'case.noted', subject: 'C-10243', fields: { text: '到场' } }],
    ['note 10241 knee-deep at 30 cm', { op: 'case.noted', subject: 'C-10241', fields: { text: 'knee-deep at 30 cm' } }],
    ['转 10241 110 伤人', { op: 'case.transferred', subject: 'C-10241', fields: { to: '110', reason: '伤人' } }],
    ['升 10241 水位上涨', { op: 'case.escalated', subject: 'C-10241', fields: { reason: '水位上涨' } }],
    ['挂 10241 2h 等设备', { op: 'case.deferred', subject: 'C-10241', fields: { until: 7_201_000, reason: '等设备' } }],
    ['作废 10241 误报', { op: 'case.voided', subject: 'C-10241', fields: { reason: '误报' } }],
    ['核查 10241', { op: 'case.verified', subject: 'C-10241', fields: { passed: true } }],
    ['verify 10241 fail still wet', { op: 'case.verified', subject: 'C-10241', fields: { passed: false, reason: 'still wet' } }],
    ['close 10241', { op: 'case.closed', subject: 'C-10241', fields: {} }],
    ['搁 flood@420102 30m 检修', { op: 'alarm.shelved', subject: 'flood@420102', fields: { until: 1_801_000, reason: '检修' } }],
  ])('%s', (line, wanted) => expect(one(line)).toEqual(wanted));
  test.each([
    ['派 99999 U7', 'case'], ['派 10241', 'unit'], ['派 10241 U', 'unit'], ['并 10241 10241', 'self'], ['作废 10241', 'text'], ['挂 10241 soon', 'time'],
    ['核查 10241 maybe', 'passed'], ['确认 nothing', 'alarm'], ['飞 10241', 'verb'], ['note 10238 x', 'cases'],
  ])('%s is refused: %s', (line, problem) => { const m = parse(line, world); expect([m.problem, m.commands]).toEqual([problem, []]); });
  test('ack alone means all that is open; a code alone opens a case; nothing means nothing', () => {
    expect(parse('确认', world).commands.map((c) => c.subject)).toEqual(world.alarms);
    expect(parse('10241', world).opens).toBe('C-10241');
    expect([parse('', world).problem, parse('  /', world).problem]).toEqual([null, null]);
  });
  test('a code is meant whole or by its number, never by a piece of it', () => {
    expect([meant('u7', world.units), meant('7', world.units), meant('0241', world.cases), meant('10238', world.cases).length]).toEqual([['U7'], [], [], 2]);
    const rule = 'R261127065644-0a704e08';
    expect([brief(rule), meant(brief(rule), [rule]), meant('0a70', [rule])]).toEqual(['1127-0a70', [rule], []]);
    expect([brief('W179576787600002-01'), meant('w00002-01', ['W179576787600002-01'])]).toEqual(['W00002-01', ['W179576787600002-01']]);
    expect([brief('C20261126-00320'), brief('C-10241'), meant('1126-00320', ['C20261126-00320']), meant('320', ['C20261126-00320', 'C20261127-00321'])]).toEqual(['1126-00320', 'C-10241', ['C20261126-00320'], ['C20261126-00320']]);
    expect([duration('30'), duration('2小时'), duration('1d'), duration('x')]).toEqual([1_800_000, 7_200_000, 86_400_000, NaN]);
    expect([completion('派 10241 U5', world), completion('派 C-10241 U1', world), completion('', world)]).toEqual(['', '7', '']);
  });
  test('a receipt of a transfer is what was answered, for the case that is looked at', () => {
    expect(parse('回执 C-10241 119-4711', world).commands).toEqual([{ op: 'case.acknowledged', subject: 'C-10241', fields: { receipt: '119-4711' } }]);
    expect([parse('receipt C-10241', world).problem, parse('receipt C-10241', world).verb?.legal]).toEqual(['text', true]);
    const passed = (transfer: unknown) => caseOf({ code: 'C', transfer }).passed;
    expect([passed({ to: '119', receipt: null, waits: true }), passed(null), caseOf({ code: 'C' }, { ...a('C'), passed: passed({ to: '110' }) }).passed?.to]).toEqual([{ to: '119', receipt: '', waits: true }, null, '110']);
  });
  test('no alias means two things', () => {
    const all = VERBS.flatMap((v) => v.aliases);
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('alarms', () => {
  test('of one cause are one group; what is open stands first', () => {
    const list = [alarm('a', { group: 'rain', priority: 3 }), alarm('b', { group: 'rain', priority: 2, first_out: true, since: 50 }), alarm('c', { acked: true, state: 'ack', priority: 1 }), alarm('gone', { active: false, acked: true, state: 'normal' })];
    const found = grouped(list);
    expect(found.map((g) => [g.key, g.priority, g.unacked, g.members.length, g.first.code])).toEqual([['rain', 2, 2, 2, 'b'], ['c', 1, 0, 1, 'c']]);
  });
  test('a flood is at most twenty groups and loses none', () => {
    const flood = Array.from({ length: 1000 }, (_, i) => alarm(`r${i}@x`, { priority: 1 + (i % 4), group: i % 2 ? `g${i % 7}` : '', acked: i % 5 === 0, state: i % 5 === 0 ? 'ack' : 'unack' }));
    const found = grouped(flood);
    expect(found.length).toBe(MOST_GROUPS);
    expect(new Set(found.flatMap((g) => g.members.map((m) => m.code))).size).toBe(1000);
    expect(found.reduce((n, g) => n + g.unacked, 0)).toBe(800);
    expect(found[0]?.priority).toBe(1);
  });
  test('too many groups merge into what they have in common, the mildest first', () => {
    const list = [alarm('a', { priority: 1, group: 'flood/d1/s1' }), alarm('b', { priority: 4, group: 'rain/d1/s1' }), alarm('c', { priority: 4, group: 'rain/d1/s2' }), alarm('d', { priority: 4, group: 'gas/d2' })];
    expect(grouped(list, 4).length).toBe(4);
    expect(grouped(list, 3).map((g) => [g.key, g.members.length])).toEqual([['flood/d1/s1', 1], ['gas/d2', 1], ['rain/d1', 2]]);
    expect(grouped(list, 2).map((g) => [g.key, g.members.length, g.rest])).toEqual([['flood/d1/s1', 1, false], ['', 3, true]]);
  });
  test('sound is the worst that is open; IV, shelved and acknowledged ones are silent', () => {
    expect(sounding([alarm('a', { priority: 4 })])).toBe(0);
    expect(sounding([alarm('a', { priority: 3 }), alarm('b', { priority: 1, acked: true, state: 'ack' }), alarm('c', { priority: 1, state: 'shelved' })])).toBe(3);
    expect(sounding([alarm('a', { priority: 2, active: false, state: 'rtn_unack' })])).toBe(2);
    expect(counted([alarm('a', { priority: 1 }), alarm('b', { priority: 1, state: 'shelved' }), alarm('c', { priority: 4 }), alarm('d', { active: false })])).toEqual([1, 0, 0, 1]);
  });
  test('acknowledging names the occurrence that was seen', () => {
    expect(acknowledging([alarm('a', { occurrence: 2 }), alarm('b', { acked: true })])).toEqual([{ op: 'alarm.acknowledged', subject: 'a', fields: { occurrence: 2 }, rev: 4 }]);
  });
});

describe('answers of the command door', () => {
  test('each has its own end', () => {
    expect(answerOf(200, { rev: 8, duplicate: true })).toMatchObject({ how: 'done', rev: 8, duplicate: true });
    expect(answerOf(409, { detail: 'changed', by: 'li', at: 5, rev: 9 })).toEqual({ how: 'stale', by: 'li', at: 5, rev: 9, words: 'changed' });
    expect(answerOf(422, { detail: 'no', legal: ['case.closed'] })).toEqual({ how: 'illegal', legal: ['case.closed'], words: 'no' });
    expect([answerOf(403, { detail: 'not yours' }).how, answerOf(409, { detail: 'other content' }).how, answerOf(503, {}).how, answerOf(429, {}).how]).toEqual(['refused', 'refused', 'away', 'away']);
  });
});

test('what is like what is typed: by words, kind and nearness', () => {
  const open = [a('C-1', { text: '三阳路地铁口积水很深', category: 'flood.waterlog', lon: 114.3, lat: 30.6 }), a('C-2', { text: '路灯不亮', category: 'facility.streetlight', lon: 114.4, lat: 30.6 })];
  expect(alike('三阳路积水', '', null, open).map((x) => x.one.code)).toEqual(['C-1']);
  expect(alike('不亮', 'facility.streetlight', { lon: 114.4, lat: 30.6 }, open).map((x) => x.one.code)).toEqual(['C-2']);
  expect([alike('', '', null, open).length, likeness(pairs('积水'), pairs('积水。')), likeness(pairs(''), pairs(''))]).toEqual([0, 1, 0]);
});

test('the handover is read by its lists, also those one level down, in their order', () => {
  const found = sections({
    at: 5, hash: 'x', notes: { n: 1, rows: [{ text: 'pump', actor: 'w', t: 9 }] },
    cases: { open: 7, by_stage: { filed: 2 }, late: { n: 240, rows: [{ code: 'C-1', level: 1, title: { zh: '水', en: 'W' }, stage_due: 7 }] } }, odd: { n: 1, rows: ['plain'] },
  });
  expect(found.map((s) => [s.name, s.lines.length, s.n])).toEqual([['late', 1, 240], ['notes', 1, 1], ['odd', 1, 1]]);
  expect(found[0]?.lines[0]).toMatchObject({ code: 'C-1', level: 1, due: 7 });
  expect([found[1]?.lines[0], found[2]?.lines[0]?.title.en]).toMatchObject([{ words: 'pump', who: 'w', at: 9 }, 'plain']);
});

test('rings are as wide as they say, arrows point where they go, a bow ends where it should', () => {
  for (const [x = 0, y = 0] of circle([114.3, 30.6], 200, 8)) expect(apart(114.3, 30.6, x, y)).toBeCloseTo(200, 0);
  expect(turn(114, 30, 115, 30)).toBeCloseTo(0);
  expect(turn(114, 30, 114, 31)).toBeCloseTo(-90);
  const line = bow([114, 30], [115, 31]);
  expect([line[0], line.at(-1)]).toEqual([[114, 30], [115, 31]]);
});
