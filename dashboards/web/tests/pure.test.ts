import { describe, expect, test } from 'vitest';
import { Board, extend } from '../src/board';
import en from '../src/en.json';
import { age, countdown, day, hms, num, stamp } from '../src/format';
import { classOf, edges, levelOf, ramp, severity, threshold } from '../src/level';
import { borders, labelPoint, type Area } from '../src/map/geometry';
import { Quality } from '../src/types';
import { caseOf, healthOf, mergeTwin, patchOf, tickerOf, withScopes } from '../src/wire';
import zh from '../src/zh.json';
import { readdirSync, readFileSync } from 'node:fs';

const down = { better: 'down' as const, bands: { yellow: 20, orange: 50 } };
const up = { better: 'up' as const, bands: { yellow: 90, red: 70 }, unit: '%' };

describe('numbers', () => {
  test('have a comma from four digits, a true minus and fixed decimals', () => {
    expect(num(1260, 0)).toBe('1,260');
    expect(num(1234567.891, 2)).toBe('1,234,567.89');
    expect(num(-3.04, 1)).toBe('\u22123.0');
    expect(num(-0.04, 1)).toBe('0.0');
    expect(num(NaN, 1)).toBe('—');
  });
  test('durations', () => {
    expect(countdown(298_000)).toBe('04:58');
    expect(countdown(-60_000)).toBe('\u221201:00');
    expect(countdown(11_525_000)).toBe('3:12:05');
    expect(age(9_660_000)).toBe('2 h 41 min');
    expect(age(41_000)).toBe('41 s');
    expect(age(-5)).toBe('0 s');
  });
  test('times are the city\'s, whatever the machine\'s', () => {
    const t = Date.UTC(2026, 6, 8, 14, 41, 7);
    expect(hms(t, 'Asia/Shanghai')).toBe('22:41:07');
    expect(hms(t, 'America/New_York')).toBe('10:41:07');
    expect(day(t, 'Asia/Shanghai', 'zh')).toBe('7月8日 周三');
    expect(stamp(t, t + 40 * 3_600_000, 'Asia/Shanghai')).toBe('07-08 22:41');
    expect(hms(0, 'UTC')).toBe('--:--:--');
  });
});

describe('levels', () => {
  test('the worst band wins, at or above the edge when low is good, below it when high is good', () => {
    expect([19.9, 20, 49.9, 50].map((v) => levelOf(v, down))).toEqual([0, 3, 3, 2]);
    expect([90, 89.9, 70, 69.9].map((v) => levelOf(v, up))).toEqual([0, 3, 3, 1]);
    expect(levelOf(NaN, down)).toBe(0);
  });
  test('edges go from mild to bad', () => {
    expect(edges(up)).toEqual([{ edge: 90, level: 3 }, { edge: 70, level: 1 }]);
    expect(threshold(down)).toBe(20);
    expect(threshold({ better: 'up', bands: {} })).toBeNaN();
  });
  test('severity puts a worse level above any distance', () => {
    expect(severity(50, down)).toBeGreaterThan(severity(49.9, down));
    expect(severity(60, down)).toBeGreaterThan(severity(51, down));
    expect(severity(19, down)).toBeGreaterThan(severity(5, down));
  });
  test('map classes hold the band edges and put the worst in class 5', () => {
    for (const ind of [down, up, { better: 'down' as const, bands: { yellow: 1.5, red: 1.8 } }, { better: 'down' as const, bands: { blue: 1, yellow: 2, orange: 3, red: 4 } }, { better: 'up' as const, bands: { yellow: 95 }, unit: '%' }]) {
      const cut = ramp(ind);
      expect(cut).toHaveLength(5);
      for (const { edge } of edges(ind)) expect(cut).toContain(edge);
      for (let i = 1; i < 5; i++) expect(Math.sign((cut[i] ?? 0) - (cut[i - 1] ?? 0))).toBe(ind.better === 'up' ? -1 : 1);
      expect(classOf(ind.better === 'up' ? -1e9 : 1e9, cut, ind.better)).toBe(5);
      expect(classOf(ind.better === 'up' ? 1e9 : -1e9, cut, ind.better)).toBe(0);
      expect(classOf(NaN, cut, ind.better)).toBe(-1);
    }
  });
});

describe('the wire', () => {
  test('columns become patches: qualities hoisted, bands, null never a good value', () => {
    const p = patchOf({ k: [3, 7, 9, 11], v: [1, 2, null, 4], q: { partial: [[7, 12, 13]], stale: [11] }, b: { red: [3], yellow: [7] } }, 1000);
    expect([...(p.quality as Uint8Array)]).toEqual([Quality.GOOD, Quality.PARTIAL, Quality.NODATA, Quality.STALE]);
    expect([p.fresh?.[1], p.expected?.[1]]).toEqual([12, 13]);
    expect([...(p.band as Uint8Array)]).toEqual([1, 3, 0, 0]);
    expect([...(patchOf({ k: [1, 2], v: [1, 1], q: { provisional: true } }, 0).quality as Uint8Array)]).toEqual([1, 1]);
  });
  test('what a message says of a key replaces all that was said before', () => {
    const board = new Board(4);
    board.apply('x', patchOf({ k: [900], v: [5], q: { partial: [[900, 1, 2]] }, b: { red: [900] } }, 1000));
    expect(board.cell('x', 900)).toMatchObject({ value: 5, quality: Quality.PARTIAL, fresh: 1, expected: 2, band: 1 });
    board.apply('x', patchOf({ k: [900], v: [6] }, 2000));
    expect(board.cell('x', 900)).toMatchObject({ value: 6, quality: Quality.GOOD, fresh: 0, expected: 0, band: 0, at: 2000 });
    expect(board.cell('x', 1).quality).toBe(Quality.NODATA);
    expect(board.cell('unknown', 0).value).toBeNaN();
  });
  test('a good value holds until the newest frame, a stale one keeps the time it had', () => {
    const board = new Board(8);
    board.apply('x', patchOf({ k: [1, 2], v: [1, 2] }, 1000));
    board.now = 9000;
    expect(board.cell('x', 1).at).toBe(9000);
    board.apply('x', patchOf({ k: [1], v: [1], q: { stale: [1] } }, 9000));
    expect(board.cell('x', 1).at).toBe(1000);
  });
  test('the hash does not depend on the order or the cutting of patches', () => {
    const [a, b] = [new Board(4), new Board(64)];
    a.apply('x', patchOf({ k: [0, 1, 2], v: [1, 2, 3] }, 1));
    a.apply('y', patchOf({ k: [0], v: [9] }, 1));
    b.apply('y', patchOf({ k: [0], v: [8] }, 1));
    b.apply('y', patchOf({ k: [0], v: [9] }, 2));
    for (const k of [2, 0, 1]) b.apply('x', patchOf({ k: [k], v: [k + 1] }, 5));
    expect(b.hash()).toBe(a.hash());
    b.apply('x', patchOf({ k: [1], v: [2], q: { stale: true } }, 6));
    expect(b.hash()).not.toBe(a.hash());
  });
  test('scopes, cases, ticker, twin rows and counts', () => {
    const none = { code: [], name: [], nameEn: [], parent: new Int32Array(), level: new Int8Array(), synthetic: [], unlocated: [], children: new Map() };
    const s = withScopes(withScopes(none, { k: [0], code: ['42'], name: ['市'], name_en: ['C'], parent: [-1], level: [0] }), { k: [2, 1], code: ['b', 'a'], name: ['乙', '甲'], name_en: ['B', 'A'], parent: [1, 0], level: [2, 1], unlocated: [2] });
    expect(s.children.get(0)).toEqual([1]);
    expect(s.children.get(1)).toEqual([2]);
    expect([s.unlocated[1], s.unlocated[2], s.code[0]]).toEqual([false, true, '42']);
    const first = caseOf({ code: 'C1', state: 'reported', scope: 3, lon: 114, lat: 30, due_at: null, category: 'gas_leak' });
    expect(first.due).toBeNaN();
    expect(caseOf({ code: 'C1', state: 'filed', due_at: 5 }, first)).toMatchObject({ stage: 'filed', due: 5, scope: 3, lon: 114, category: 'gas_leak' });
    expect(tickerOf({ seq: 4, t: 7, type: 'unit.state', subject: 'U1', words: { state: 'busy' } })).toMatchObject({ seq: 4, at: 7, subject: 'U1', coded: [['state', 'busy']] });
    const rows = new Map();
    mergeTwin(rows, 'device', { k: [5], columns: { lon: [1], lat: [2], scope: [3] }, names: { k: [5], code: ['D5'], name: ['n'], name_en: [''] } });
    mergeTwin(rows, 'device', { k: [5], columns: { seen: [1_000] } });
    expect(rows.get(5)).toMatchObject({ code: 'D5', lon: 1, seen: 1_000 });
    mergeTwin(rows, 'device', { k: [], columns: {}, gone: [5] });
    expect(rows.size).toBe(0);
    const blank = { deadTotal: 0, dead: [], sources: [], events: 0, rate: 0, at: 0, live: true, lacking: [], summary: false };
    const h1 = healthOf({ accepted: 100, rejected: { bad_time: 2, missing: 1 }, watermarks: { a: 9_999_000, b: 1 } }, blank, 10_000_000);
    expect(h1).toMatchObject({ deadTotal: 3, events: 100 });
    expect(h1.sources.map((x) => [x.name, x.stale])).toEqual([['b', true], ['a', false]]);
    expect(healthOf({ accepted: 200 }, h1, 10_001_000).rate).toBeCloseTo(30);
  });
});

test('a trend grows at its end and keeps its length', () => {
  const t0 = { end: 1000, step: 100, values: [1, 2, 3] };
  expect(extend(t0, 950, 9)).toEqual({ end: 1000, step: 100, values: [1, 2, 9] });
  expect(extend(t0, 1050, 4)).toEqual({ end: 1100, step: 100, values: [2, 3, 4] });
  expect(extend(t0, 1250, 5).values).toEqual([NaN, NaN, 5]);
  expect(extend(t0, 10, 5)).toBe(t0);
});

test('neighbours share a border, a label lies inside its area', () => {
  const cell = (row: number, x: number): Area => ({ type: 'Feature', properties: { row }, geometry: { type: 'Polygon', coordinates: [[[x, 0], [x + 1, 0], [x + 1, 1], [x, 1], [x, 0]]] } });
  const found = borders([cell(1, 0), cell(2, 1), cell(3, 5)]);
  expect(found).toHaveLength(1);
  expect(found[0]).toMatchObject({ a: 1, b: 2 });
  const u: Area['geometry'] = { type: 'Polygon', coordinates: [[[0, 0], [9, 0], [9, 9], [6, 9], [6, 3], [3, 3], [3, 9], [0, 9], [0, 0]]] };
  const [x = 0, y = 0] = labelPoint(u);
  expect(y < 3 || x < 3 || x > 6).toBe(true);
});

describe('catalogues', () => {
  test('have equal keys, and equal places for numbers', () => {
    expect(Object.keys(en).sort()).toEqual(Object.keys(zh).sort());
    for (const [key, text] of Object.entries(zh)) expect((en as Record<string, string>)[key]?.match(/\{\d\}/g)?.sort() ?? [], key).toEqual(text.match(/\{\d\}/g)?.sort() ?? []);
  });
  test('every key is used somewhere', () => {
    const root = new URL('../src/', import.meta.url);
    const code = readdirSync(root, { recursive: true }).map(String).filter((f) => /\.tsx?$/.test(f)).map((f) => readFileSync(new URL(f, root), 'utf8')).join('\n');
    const made = /^(theme|stage|reason|category|event|state|channel|kind|window|scope|level|quality|keys|unit|agg|origin|edit|status|better|page|lab.show|ops.state|ops.level|ops.role|ops.mode|act|move|problem|sound|ustate|astate|dstage|dkeys|term|step|do|giveback|await|hand|emergency|actor|said|cap|colour)\./;
    const unused = Object.keys(zh).filter((k) => !made.test(k) && !code.includes(`'${k}'`));
    expect(unused).toEqual([]);
  });
});
