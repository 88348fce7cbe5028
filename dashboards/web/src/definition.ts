/** Definitions of indicators as the server tells them, and what the workshop says of its state. Pure. */

import { LEVELS, type Bands, type Better, type Indicator, type Parameter, type ScopeLevel, type Text, type Threshold } from './types';
import type { Item } from './wire';

const text = (v: unknown): string => (typeof v === 'string' ? v : v === null || v === undefined ? '' : String(v));
const list = (v: unknown): Item[] => (Array.isArray(v) ? (v as Item[]) : []);
const words = (v: unknown): string[] => list(v).map((x) => (x && typeof x === 'object' ? text(x.id ?? x.name ?? x.text) : text(x)));
/** A time in ms or as RFC 3339 text; NaN where it is open. */
const when = (v: unknown): number => (typeof v === 'number' ? v : typeof v === 'string' && v ? Date.parse(v) : NaN);
const BETTER: readonly string[] = ['up', 'down', 'band', 'none'];

function threshold(x: Item): Threshold {
  return { edition: text(x.edition), from: when(x.valid_from), to: when(x.valid_to), source: text(x.source), status: text(x.status), bands: (x.bands ?? {}) as Bands };
}

/** What an example is given, and what it must give; lists as they are written, no data as an em dash. */
function example(x: Item): Indicator['examples'][number] {
  const plain = (v: unknown): string => (v === null || v === undefined ? '—' : typeof v === 'object' ? JSON.stringify(v) : text(v));
  return { given: Object.entries(x).filter(([k]) => k !== 'gives').map(([k, v]): [string, string] => [k, plain(v)]), gives: plain(x.gives) };
}

/** Parameters; of a server that tells none, those that its `inputs` (`n = count(obs)`) name. */
function parameters(item: Item): Parameter[] {
  if (Array.isArray(item.parameters)) return list(item.parameters).map((p) => ({ name: text(p.name), kind: text(p.kind), table: text(p.table), text: text(p.text) }));
  return words(item.inputs).flatMap((line) => {
    const found = /^(\S+) = (\w+)\((.*)\)$/.exec(line);
    return found ? [{ name: found[1] ?? '', kind: found[2] ?? '', table: found[3] ?? '', text: line.slice(line.indexOf('=') + 2) }] : [];
  });
}

/** One item of `/api/v1/indicators`; what it does not say is empty. */
export function definitionOf(item: Item): Indicator {
  const lineage = (item.lineage ?? {}) as Item;
  const own = { edition: '', from: NaN, to: NaN, source: text(item.source), status: text(item.status), bands: (item.bands ?? {}) as Bands };
  const thresholds = list(item.thresholds).map(threshold);
  return {
    id: text(item.id), theme: text(item.theme), name: (item.name ?? {}) as Text, meaning: (item.meaning ?? {}) as Text, unit: text(item.unit),
    better: (BETTER.includes(text(item.better)) ? item.better : 'none') as Better,
    levels: words(item.levels).filter((l): l is ScopeLevel => (LEVELS as readonly string[]).includes(l)),
    window: text(item.window), decimals: Number(item.decimals ?? 0), bands: own.bands, source: own.source, status: own.status, owner: text(item.owner),
    doc: text(item.doc ?? item.formula), thresholds: thresholds.length || Object.keys(own.bands).length === 0 ? thresholds : [own],
    parameters: parameters(item), examples: list(item.examples).map(example),
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

/** What the workshop knows of an indicator beside its definition. */
export interface LabState {
  id: string;
  origin: string;
  version: string;
  checkedAt: number;
  error: string;
  quarantined: boolean;
  costUs: number;
  bytes: number;
}

export interface Edit {
  id: string;
  at: number;
  kind: string;
  error: string;
  /** Values by scope code, NaN = no data. */
  before: Map<string, number>;
  after: Map<string, number>;
}

const number = (v: unknown): number => (v === null || v === undefined || v === '' ? NaN : Number(v));

export function labStateOf(x: Item): LabState {
  return { id: text(x.id), origin: text(x.origin) || 'builtin', version: text(x.version), checkedAt: when(x.checked_at), error: text(x.error), quarantined: x.quarantined === true, costUs: number(x.cost_us), bytes: number(x.bytes) };
}

const valuesBy = (v: unknown): Map<string, number> => new Map(Object.entries((v ?? {}) as Item).map(([code, n]) => [code, number(n)]));

export function editOf(x: Item): Edit {
  return { id: text(x.id), at: when(x.at), kind: text(x.kind), error: text(x.error), before: valuesBy(x.before), after: valuesBy(x.after) };
}

/** Edits that are newer than those known, oldest first; of one indicator and kind only the newest. */
export function news(known: number, edits: Edit[]): Edit[] {
  const fresh = edits.filter((e) => e.at > known).sort((a, b) => a.at - b.at);
  return fresh.filter((e, i) => !fresh.slice(i + 1).some((later) => later.id === e.id && later.kind === e.kind));
}
