/** Definitions of indicators as the server tells them, and what the workshop says of its state. Pure. */

import { LEVELS, type Bands, type Better, type Indicator, type Parameter, type ScopeLevel, type Text, type Threshold } from './types';
import type { Item } from './wire';

const text = (v: unknown): string => (typeof v === 'string' ? v : v === null || v === undefined ? '' : String(v));
const list = (v: unknown): Item[] => (Array.isArray(v) ? (v as Item[]) : []);
const words = (v: unknown): string[] => list(v).map(text);
const number = (v: unknown): number => (v === null || v === undefined || v === '' ? NaN : Number(v));
const BETTER: readonly string[] = ['up', 'down', 'band', 'none'];

/** One edition of bands. */
export function thresholdOf(x: Item): Threshold {
  return { edition: text(x.edition), from: number(x.valid_from), to: number(x.valid_to), source: text(x.source), status: text(x.status), bands: (x.bands ?? {}) as Bands };
}

/** What an example is given, and what it must give; lists as they are written, no data as an em dash. */
function example(x: Item): Indicator['examples'][number] {
  const plain = (v: unknown): string => (v === null || v === undefined ? '—' : typeof v === 'object' ? JSON.stringify(v) : text(v));
  return { given: Object.entries(x).filter(([k]) => k !== 'gives').map(([k, v]): [string, string] => [k, plain(v)]), gives: plain(x.gives) };
}

function parameterOf(p: Item): Parameter {
  return { name: text(p.name), kind: text(p.kind), table: text(p.table), text: text(p.text) };
}

/** One item of `/api/v1/indicators`; what it does not say is empty. */
export function definitionOf(item: Item): Indicator {
  const lineage = (item.lineage ?? {}) as Item;
  const own = { edition: '', from: NaN, to: NaN, source: text(item.source), status: text(item.status), bands: (item.bands ?? {}) as Bands };
  const thresholds = list(item.thresholds).map(thresholdOf);
  return {
    id: text(item.id), theme: text(item.theme), name: (item.name ?? {}) as Text, meaning: (item.meaning ?? {}) as Text, unit: text(item.unit),
    better: (BETTER.includes(text(item.better)) ? item.better : 'none') as Better,
    levels: words(item.levels).filter((l): l is ScopeLevel => (LEVELS as readonly string[]).includes(l)),
    window: text(item.window), decimals: Number(item.decimals ?? 0), bands: own.bands, source: own.source, status: own.status, owner: text(item.owner),
    doc: text(item.formula), thresholds: thresholds.length || Object.keys(own.bands).length === 0 ? thresholds : [own],
    parameters: list(item.parameters).map(parameterOf), examples: list(item.examples).map(example),
    lineage: { events: words(lineage.events), aggregates: words(lineage.aggregates), reads: words(lineage.reads), readBy: words(lineage.read_by) },
    code: text(item.code), hash: text(item.hash), of: text(item.of),
  };
}

/** Whether an edition holds at a time. */
export function holds(t: Threshold, at: number): boolean {
  return !(at < t.from) && !(at >= t.to);
}

/** Whether the threshold that holds now is a default of ours, not of a standard. */
export function isLocal(ind: Indicator, at: number): boolean {
  if (Object.keys(ind.bands).length === 0) return false;
  return (ind.thresholds.find((t) => holds(t, at))?.status ?? ind.status) === 'L';
}

/** Whether an indicator answers to what was typed: id, names, meaning, theme (in both languages); all words must be found. */
export function answers(ind: Indicator, query: string, themes: string[]): boolean {
  const all = [ind.id, ind.name.zh, ind.name.en, ind.meaning.zh, ind.meaning.en, ind.theme, ...themes].join('\n').toLowerCase();
  return query.toLowerCase().split(/\s+/).every((w) => all.includes(w));
}

/** Where an indicator comes from: `builtin`, `package` or `file`; `place` names the package or the file. */
export interface LabState {
  id: string;
  origin: 'builtin' | 'package' | 'file';
  place: string;
  version: string;
  checkedAt: number;
  error: string;
  quarantined: boolean;
  costUs: number;
  bytes: number;
  /** What else to know: since when it counts, a save that was refused. */
  note: string;
}

export interface Edit {
  id: string;
  at: number;
  kind: 'added' | 'changed' | 'removed' | 'refused' | 'quarantined' | 'released';
  error: string;
  /** Values by scope code, NaN = no data. */
  before: Map<string, number>;
  after: Map<string, number>;
}

export function labStateOf(x: Item): LabState {
  const [, kind = '', place = ''] = /^(\S*)\s*(.*)$/.exec(text(x.origin)) ?? [];
  const origin = kind === 'package' ? 'package' : kind === 'file' || kind === 'plugin' ? 'file' : 'builtin';
  return { id: text(x.id), origin, place, version: text(x.version), checkedAt: number(x.checked_at), error: text(x.error), quarantined: x.quarantined === true, costUs: number(x.cost_us), bytes: number(x.bytes), note: text(x.note) };
}

/** Values in the order of the scopes that an edit names, by scope code. */
function valuesBy(scopes: string[], v: unknown): Map<string, number> {
  return new Map(Array.isArray(v) ? v.map((n, i): [string, number] => [scopes[i] ?? '', number(n)]) : Object.entries((v ?? {}) as Item).map(([code, n]): [string, number] => [code, number(n)]));
}

const KINDS: readonly string[] = ['added', 'changed', 'removed', 'refused', 'quarantined', 'released'];

/** One item of `/api/v1/lab/edits`: news of one indicator, or the swap of a file with all of its indicators. */
export function editsOf(x: Item): Edit[] {
  const at = number(x.at);
  if (x.id !== undefined) {
    const kind = KINDS.includes(text(x.kind)) ? (x.kind as Edit['kind']) : 'changed';
    return [{ id: text(x.id), at, kind, error: text(x.error), before: valuesBy([], x.before), after: valuesBy([], x.after) }];
  }
  const before = (x.before ?? {}) as Item;
  const after = (x.after ?? {}) as Item;
  const told = Object.keys(after).length > 0; // empty until the first tick with the new definition
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].map((id) => ({
    id, at, error: '', kind: !(id in before) ? 'added' : told && !(id in after) ? 'removed' : 'changed', before: valuesBy(words(x.scopes), before[id]), after: valuesBy(words(x.scopes), after[id]),
  }));
}

/** What newly went wrong between two looks, as news of a moment. */
export function turned(old: ReadonlyMap<string, LabState>, now: Iterable<LabState>, at: number): Edit[] {
  return [...now].flatMap((s): Edit[] => {
    const was = old.get(s.id);
    const worse = s.error !== '' && s.error !== was?.error;
    return worse || (s.quarantined && !was?.quarantined) ? [{ id: s.id, at, kind: s.quarantined ? 'quarantined' : 'refused', error: s.error, before: new Map(), after: new Map() }] : [];
  });
}

/** Edits that are newer than those known, oldest first; of one indicator and kind only the newest. */
export function news(known: number, edits: Edit[]): Edit[] {
  const fresh = edits.filter((e) => e.at > known).sort((a, b) => a.at - b.at);
  return fresh.filter((e, i) => !fresh.slice(i + 1).some((later) => later.id === e.id && later.kind === e.kind));
}
