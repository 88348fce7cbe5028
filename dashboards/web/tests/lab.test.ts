import { describe, expect, test } from 'vitest';
import { addressOf, askedOf, pageOf } from '../src/address';
import { answers, definitionOf, editsOf, holds, isLocal, labStateOf, news, turned } from '../src/definition';
import { bodyOf, explainedOf, joined, plain } from '../src/explain';
import { pieces } from '../src/lab/code';
import { feeds, graphOf, heights, MOST } from '../src/lab/lineage';
import { classOf, classOfLevel, edges, levelOf, listed, ramp, severity } from '../src/level';
import { emptyScopes, rowByCode, scopes } from '../src/store';
import { withScopes } from '../src/wire';
import { fit, FOLD_HEAD, folded, HEAD, LINE, ROW, share } from '../src/room';
import type { Indicator } from '../src/types';
import en from '../src/en.json';
import zh from '../src/zh.json';

const EDITION = Date.UTC(2026, 2, 1);

function tti(over: Record<string, unknown> = {}): Indicator {
  return definitionOf({
    id: 'traffic_tti', theme: 'traffic', name: { zh: '行程时间比', en: 'Travel time index' }, meaning: { zh: '比', en: 'ratio' }, unit: 'ratio', better: 'down',
    levels: ['city', 'district', 'moon'], window: 'instant', decimals: 3, bands: { yellow: 1.5, red: 1.8 }, source: 'GB/T 33171', status: 'V', owner: 'traffic', formula: 'words',
    thresholds: [{ edition: '2012', valid_from: null, valid_to: EDITION, source: 'old', status: 'V', bands: { yellow: 1.4 } }, { edition: '2026', valid_from: EDITION, valid_to: null, source: 'new', status: 'L', bands: { yellow: 1.5, red: 1.8 } }],
    parameters: [{ name: 'time', kind: 'tally', table: 'obs', text: "tally('obs')" }, { name: 'n', kind: 'count', table: 'case', text: "count('case')" }, { name: 'pop', kind: 'tally', table: 'grid', text: "twin('grid.population')" }, { name: 'other', kind: 'ind', table: 'aqi', text: "ind('aqi')" }],
    examples: [{ time: 3, n: [1, 2], gives: null }], lineage: { events: ['obs traffic.speed', 'case.closed', 'call.offered'], aggregates: [], reads: ['aqi'], read_by: ['city_health_index'] },
    code: 'def f(): ...', hash: 'ab', of: '', ...over,
  });
}

describe('definitions', () => {
  test('are read as told, what is missing is empty, an unknown level is left out', () => {
    const ind = tti();
    expect([ind.levels, ind.doc, ind.lineage.readBy, ind.examples]).toEqual([['city', 'district'], 'words', ['city_health_index'], [{ given: [['time', '3'], ['n', '[1,2]']], gives: '—' }]]);
    expect(ind.thresholds.map((x) => [x.from, x.to])).toEqual([[NaN, EDITION], [EDITION, NaN]]);
    const bare = definitionOf({ id: 'x', bands: { red: 1 }, status: 'L', formula: 'a / b', better: 'sideways', lineage: null });
    expect([bare.doc, bare.better, bare.of, bare.code, bare.parameters, bare.lineage.events]).toEqual(['a / b', 'none', '', '', [], []]);
    expect(bare.thresholds).toHaveLength(1);
    expect(definitionOf({ id: 'x' }).thresholds).toEqual([]);
  });
  test('an edition holds from its first to before its last moment; the one of today says whose it is', () => {
    const ind = tti();
    expect(ind.thresholds.map((x) => holds(x, EDITION))).toEqual([false, true]);
    expect(ind.thresholds.map((x) => holds(x, EDITION - 1))).toEqual([true, false]);
    expect([isLocal(ind, EDITION), isLocal(ind, EDITION - 1)]).toEqual([true, false]);
    expect(isLocal(tti({ bands: {} }), EDITION)).toBe(false);
  });
  test('are found by id, either name, meaning or theme, all words at once', () => {
    const themes = ['交通运行', 'Traffic'];
    for (const q of ['tti', '行程', 'travel INDEX', '交通', 'traffic 时间']) expect(answers(tti(), q, themes), q).toBe(true);
    expect(answers(tti(), 'travel water', themes)).toBe(false);
  });
  test('states: where an indicator comes from, and what is not known', () => {
    expect(labStateOf({ id: 'a', origin: 'builtin', checked_at: null, error: '', cost_us: null })).toEqual({ id: 'a', origin: 'builtin', place: '', version: '', checkedAt: NaN, error: '', quarantined: false, costUs: NaN, bytes: NaN, note: '' });
    expect(['package rain gauges', 'file late.py', 'plugin', ''].map((origin) => { const s = labStateOf({ id: 'a', origin }); return [s.origin, s.place]; })).toEqual([['package', 'rain gauges'], ['file', 'late.py'], ['file', ''], ['builtin', '']]);
  });
  test('the swap of a file is an edit of each of its indicators, with values by scope', () => {
    const made = editsOf({ file: 'x.py', at: 9, scopes: ['42', '4201'], before: { a: [1, null], gone: [1, 1] }, after: { a: [2, 3], fresh: [4, 5] } });
    expect(made.map((e) => [e.id, e.kind])).toEqual([['a', 'changed'], ['gone', 'removed'], ['fresh', 'added']]);
    expect([[...(made[0]?.before ?? [])], [...(made[0]?.after ?? [])]]).toEqual([[['42', 1], ['4201', NaN]], [['42', 2], ['4201', 3]]]);
    expect(editsOf({ file: 'x.py', at: 9, scopes: ['42'], before: { a: [1] }, after: {} }).map((e) => e.kind)).toEqual(['changed']);
    const gone = editsOf({ id: 'b', file: 'x.py', at: 9, kind: 'removed', error: '', before: { 42: 1 } });
    expect(gone).toMatchObject([{ id: 'b', kind: 'removed', error: '' }]);
    expect([...(gone[0]?.before ?? [])]).toEqual([['42', 1]]);
  });
  test('of several edits of one indicator the newest is news; what newly went wrong is news too', () => {
    const made = [[5, 'a', 'changed'], [9, 'a', 'changed'], [7, 'b', 'refused'], [3, 'c', 'added']].flatMap(([at, id, kind]) => editsOf({ at, id, kind }));
    expect(news(3, made).map((e) => [e.at, e.id])).toEqual([[7, 'b'], [9, 'a']]);
    expect(news(9, made)).toEqual([]);
    const [ok, bad, off] = [{ id: 'a' }, { id: 'a', error: 'x' }, { id: 'a', error: 'x', quarantined: true }].map(labStateOf);
    const old = (s: typeof ok) => new Map(s ? [[s.id, s]] : []);
    const kinds = (was: typeof ok, is: typeof ok): string[] => turned(old(was), is ? [is] : [], 1).map((e) => e.kind);
    expect([kinds(ok, bad), kinds(bad, bad), kinds(bad, off), kinds(off, off), kinds(off, ok), kinds(undefined, bad)]).toEqual([['refused'], [], ['quarantined'], [], [], ['refused']]);
  });
});

describe('bands', () => {
  test('a band target has upper edges, as down has; none has no worse end', () => {
    const band = { better: 'band' as const, bands: { yellow: 85, red: 95 } };
    expect([84, 85, 95].map((v) => levelOf(v, band))).toEqual([0, 3, 1]);
    const cut = ramp(band);
    expect([classOf(1e9, cut, 'band'), classOf(-1e9, cut, 'band')]).toEqual([5, 0]);
    expect(ramp({ better: 'none', bands: {} }, [1, 2, 3, 4, 5, 6, 7])).toHaveLength(5);
  });
  test('edges from the data go one way, and equal values are all of the best class', () => {
    for (const better of ['down', 'up', 'none'] as const) {
      for (const data of [[], [0, 0, 0], [5], [1, 1, 1, 9], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], [-3, -2, -1]]) {
        const cut = ramp({ better, bands: {} }, data);
        expect(cut).toHaveLength(5);
        for (let i = 1; i < 5; i++) expect(Math.sign((cut[i] ?? 0) - (cut[i - 1] ?? 0)), `${better} ${data} ${cut}`).toBe(better === 'up' ? -1 : 1);
        const best = better === 'up' ? Math.max(...data) : Math.min(...data);
        if (data.length) expect(classOf(best, cut, better), `${better} ${data} ${cut}`).toBe(0);
      }
    }
  });
  test('relative bands: a value alone says nothing, the level that was told counts', () => {
    const rel = { better: 'down' as const, bands: { yellow: 0.3, red: 0.5 }, of: 'facilities' };
    expect([levelOf(1000, rel), edges(rel), severity(1000, rel)]).toEqual([0, [], 0]);
    expect(listed(rel.bands)).toEqual([{ edge: 0.3, level: 3 }, { edge: 0.5, level: 1 }]);
    expect(severity(2, rel, 1)).toBeGreaterThan(severity(9, rel, 3));
    expect(ramp(rel, [1, 2, 3, 4, 5, 6, 7])).not.toContain(0.3);
    expect(([0, 4, 3, 2, 1] as const).map(classOfLevel)).toEqual([0, 2, 3, 4, 5]);
  });
});

describe('the answer to why', () => {
  const page = (ids: string[], next: string): Record<string, unknown> => ({
    at: 9, id: 'x', scope: { k: 1, code: '42' }, value: 1.5, computed: 1.5, closed: null, quality: 'partial', fresh: 7, expected: 9, band: 'yellow', bands: { yellow: 1 }, of: '', scale: null,
    window: { text: 'sliding 1h/1m', start: 1, end: 2 }, formula: 'a over b', code: 'def x(): ...', events_total: 3, entities_total: 1, next, note: 'kept for 24 h', error: '',
    threshold: { edition: '2026', valid_from: null, valid_to: null, source: 'HJ', status: 'V', bands: {} },
    parameters: [{ name: 'a', kind: 'count', table: 'obs', text: 'count(obs)', value: 3, events: 3, rows: 1, sums: true, id: '' }, { name: 'o', kind: 'ind', table: 'y', text: 'ind(y)', value: null, events: 0, rows: 0, id: 'y' }],
    reads: [{ id: 'y', value: 4, quality: 'stale', fresh: 0, expected: 0 }, { id: 'z', value: 5, quality: 'good', fresh: 0, expected: 0 }],
    entities: next ? [{ kind: 'device', code: 'P1', scope: '42', attributes: { in_service: 1, name: null }, gives: { n: 1 } }] : [],
    events: ids.map((id) => ({ type: 'obs', id, source: 's', time: 5000, revision: 0, subject: '', scope: '42', fields: { value: 3.14159265, due_at: 1763890000000, gone: null }, gives: { a: 1 } })),
  });
  test('is read: value, quality, window, parts, what other indicators stand at', () => {
    const got = explainedOf(page(['1', '2'], '2'));
    expect(got).toMatchObject({ at: 9, scope: '42', quality: 2, level: 3, fresh: 7, expected: 9, window: { from: 1, to: 2 }, eventsTotal: 3, entitiesTotal: 1, next: '2', notes: ['kept for 24 h'], threshold: { edition: '2026', from: NaN, source: 'HJ' } });
    expect(got.parts.map((p) => [p.name, p.value, p.events, p.rows, p.reads, p.quality])).toEqual([['a', 3, 3, 1, '', NaN], ['o', NaN, 0, 0, 'y', 3], ['z', 5, 0, 0, 'z', 0]]);
    expect(got.entities[0]).toMatchObject({ type: 'device', subject: 'P1', at: NaN, fields: [['in_service', '1']], gives: [['n', '1']] });
    expect(got.events[0]).toMatchObject({ at: 5000, subject: '1', fields: [['value', '3.14159'], ['due_at', '1763890000000']], gives: [['a', '1']] });
    expect(explainedOf({ quality: 'nodata', value: null })).toMatchObject({ value: NaN, quality: 4, level: 0, events: [], entities: [], parts: [], eventsTotal: 0, next: '', threshold: null });
  });
  test('pages join, what both have is told once', () => {
    const got = joined(explainedOf(page(['1', '2'], '2')).events, explainedOf(page(['2', '3'], '')).events);
    expect(got.map((e) => e.subject)).toEqual(['1', '2', '3']);
  });
  test('of a decorated function the function is shown, of anything else all', () => {
    expect(bodyOf("@indicator('x',\n  n=1)\ndef f(a=count('obs')):\n    return a")).toBe("def f(a=count('obs')):\n    return a");
    expect([bodyOf('class X:\n    def values(self): ...'), bodyOf('expr = "a"'), bodyOf('')]).toEqual(['class X:\n    def values(self): ...', 'expr = "a"', '']);
  });
  test('numbers have no more digits than they need', () => {
    expect([3, -1234567, 0.1 + 0.2, 12345.678, NaN].map(plain)).toEqual(['3', '\u22121,234,567', '0.3', '12345.7', '—']);
  });
});

describe('source text', () => {
  const source = "@indicator('x', n=1.5)\ndef f(a=count('obs')):  # what\n    '''Doc\n    more'''\n    return None if a is None else 2 * a\n";
  test('is cut into pieces that give it again', () => {
    const cut = pieces(source);
    expect(cut.map((p) => p.text).join('')).toBe(source);
    const of = (tone: string): string[] => cut.filter((p) => p.tone === tone).map((p) => p.text);
    expect(of('key')).toEqual(['def', 'return', 'None', 'if', 'is', 'None', 'else']);
    expect([of('dec'), of('note'), of('num')]).toEqual([['@indicator'], ['# what'], ['1.5', '2']]);
    expect(of('text')).toEqual(["'x'", "'obs'", "'''Doc\n    more'''"]);
  });
  test('an open string ends with its line, an open block with the text', () => {
    for (const odd of ['a = "open\nb = 1', "'''never", '', '"', 'x # "']) expect(pieces(odd).map((p) => p.text).join('')).toBe(odd);
  });
});

test('rows by code, while some rows are not told yet', () => {
  scopes.value = withScopes(emptyScopes(), { k: [0, 7], code: ['42', '4207'], name: ['a', 'b'], name_en: ['a', 'b'], parent: [-1, 0], level: [0, 1] });
  expect([...rowByCode.value]).toEqual([['42', 0], ['4207', 7]]);
});

describe('lineage', () => {
  test('events feed the tables of their name and family, registers stand for tables without events', () => {
    expect([feeds('case.closed', 'case'), feeds('obs water.pressure', 'obs'), feeds('case', 'case.closed'), feeds('cases', 'case')]).toEqual([true, true, true, false]);
    const graph = graphOf(tti());
    const joins = graph.edges.map((e) => e.join(' > '));
    for (const e of ['e:obs traffic.speed > p:time', 'e:case.closed > p:n', 't:grid > p:pop', 'e:call.offered > self', 'p:other > self', 'self > l:1', 'self > b:city_health_index']) expect(joins).toContain(e);
    expect(graph.nodes.filter((n) => n.kind === 'read').map((n) => n.label)).toEqual(['aqi']);
    expect(new Set(graph.nodes.map((n) => n.key)).size).toBe(graph.nodes.length);
  });
  test('long columns are cut and say so; each line ends at a node that is drawn', () => {
    const many = Array.from({ length: 60 }, (_, i) => `i${i}`);
    const graph = graphOf(tti({ parameters: [], lineage: { events: [], aggregates: [], reads: many, read_by: many } }));
    const keys = new Set(graph.nodes.map((n) => n.key));
    expect(graph.rows).toBe(MOST);
    expect(graph.nodes.filter((n) => n.kind === 'more').map((n) => n.n)).toEqual([60 - MOST + 1, 62 - MOST + 1]);
    for (const [a, b] of graph.edges) expect([keys.has(a), keys.has(b)]).toEqual([true, true]);
    const y = heights(graph);
    for (const h of y.values()) expect(h > 0 && h < graph.rows).toBe(true);
    expect(y.get('self')).toBe(graph.rows / 2);
  });
  test('many types of one family are drawn as one', () => {
    const events = ['obs', ...Array.from({ length: 18 }, (_, i) => `case.w${i}`)];
    const graph = graphOf(tti({ lineage: { events, aggregates: [], reads: [], read_by: [] } }));
    expect(graph.nodes.filter((n) => n.kind === 'event').map((n) => [n.label, n.n])).toEqual([['obs', 1], ['case.*', 18]]);
    expect(graph.edges).toContainEqual(['e:case.*', 'p:n']);
  });
  test('a class form names its aggregates in the lineage alone', () => {
    const graph = graphOf(tti({ parameters: [], lineage: { events: ['obs'], aggregates: ["count('obs', where=x)", "ind('aqi')"], reads: ['aqi'], read_by: [] } }));
    expect(graph.edges).toContainEqual(['e:obs', 'a:0']);
    expect(graph.nodes.filter((n) => n.col === 1)).toHaveLength(2);
  });
});

describe('room for themes', () => {
  test('the abnormal ones get the rows, every theme is at least named', () => {
    const sizes = Array.from({ length: 28 }, (_, i) => ({ total: 4, bad: i < 2 ? 3 : 0 }));
    const { rows, named } = fit(sizes, 40);
    const open = rows.filter((n) => n > 0).length;
    expect([open > 2, named]).toEqual([true, 28 - open]);
    expect((rows[0] ?? 0) >= (rows[3] ?? 0)).toBe(true);
    expect(open * HEAD + rows.reduce((a, n) => a + n, 0) * ROW + folded(named)).toBeLessThanOrEqual(40);
  });
  test('with room for all nothing is folded, without any none is shown', () => {
    expect(fit([{ total: 2, bad: 0 }, { total: 1, bad: 1 }], 100)).toEqual({ rows: [2, 1], named: 0 });
    expect(fit([{ total: 2, bad: 0 }], 0)).toEqual({ rows: [0], named: 0 });
    expect(fit(Array.from({ length: 9 }, () => ({ total: 1, bad: 0 })), FOLD_HEAD + 2 * LINE)).toEqual({ rows: new Array<number>(9).fill(0), named: 4 });
    expect(share([{ total: 9, bad: 0 }, { total: 9, bad: 9 }], 2 * HEAD + 4 * ROW)).toEqual([1, 3]);
  });
});

test('addresses say what is looked at and are read again', () => {
  expect(['/lab', '/lab/', '/', '/labs', '/lab/x'].map(pageOf)).toEqual(['lab', 'lab', 'wall', 'wall', 'wall']);
  expect([addressOf('lab', 'a.b', '42 0'), addressOf('wall', 'x'), addressOf('wall', '')]).toEqual(['/lab?id=a.b&why=42+0', '/?indicator=x', '/']);
  expect(askedOf('?id=a.b&why=42+0', 'lab')).toEqual({ id: 'a.b', why: '42 0' });
  expect(askedOf('', 'wall')).toEqual({ id: '', why: '' });
});

test('every theme of the catalogue has a name in both languages', () => {
  const themes = 'traffic public_transport parking water power gas heating environment weather_flood sanitation lighting social_governance livelihood emergency safe_city economy market health education elderly culture_tourism sports gov_service data_governance credit iot platform composite'.split(' ');
  expect(themes).toHaveLength(28);
  for (const catalogue of [zh, en] as Record<string, string>[]) for (const theme of themes) expect(catalogue[`theme.${theme}`], theme).toBeTruthy();
});
