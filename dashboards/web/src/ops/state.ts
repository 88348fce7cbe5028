/** The state of operation as the server tells it, read with care, and what the page makes of it. Pure. */

import type { Text } from '../types';
import type { Item } from '../wire';

export type Level = 'ok' | 'warn' | 'alarm';
export type State = 'ok' | 'late' | 'missing' | 'stale' | 'never';

export interface Shard { id: string; owner: string; k: number; lagRecords: number; lagMs: number; events: number; rate: number; bytes: number; savedK: number; savedAge: number; next: number; state: State }
export interface Member { role: string; id: string; seen: number; active: boolean; shards: string[] }
export interface Source { name: string; age: number; period: number; state: State }
export interface Verdict { level: Level; code: string; text: Text; advice: Text }
export interface Ops {
  mode: 'single' | 'cluster'; now: number; k: number; shards: Shard[]; members: Member[];
  frames: { final: number; provisional: number; open: number; missing: string[]; waiting: number };
  sources: Source[]; moreSources: number;
  letters: { total: number; recent: number; reasons: [string, number][] };
  log: { state: string; bytes: number; free: number };
  history: { store: string; written: number; errors: number; spilled: number; dropped: number; lag: number; error: string } | null;
  verdicts: Verdict[];
}

const text = (v: unknown): string => (v === null || v === undefined ? '' : String(v));
const num = (v: unknown): number => (typeof v === 'number' ? v : NaN);
const list = (v: unknown): Item[] => (Array.isArray(v) ? (v as Item[]) : []);
const names = (v: unknown): string[] => (Array.isArray(v) ? v.map(text) : []);
const item = (v: unknown): Item => (v && typeof v === 'object' ? (v as Item) : {});
const STATES: State[] = ['ok', 'late', 'missing', 'stale'];
const stateOf = (v: unknown): State => STATES.find((s) => s === v) ?? 'missing';

function shardOf(s: Item): Shard {
  return {
    id: text(s.shard), owner: text(s.owner), k: num(s.k), lagRecords: num(s.lag_records), lagMs: num(s.lag_ms), events: num(s.events), rate: num(s.rate),
    bytes: num(s.bytes), savedK: num(s.checkpoint_k), savedAge: num(s.checkpoint_age_s), next: num(s.next), state: stateOf(s.state),
  };
}

function verdictOf(v: Item): Verdict {
  const level = v.level === 'ok' || v.level === 'warn' ? v.level : 'alarm'; // a level that is not known yet is taken for grave
  return { level, code: text(v.code), text: { zh: text(v.zh), en: text(v.en) }, advice: { zh: text(v.do_zh), en: text(v.do_en) } };
}

function historyOf(h: Item): Ops['history'] {
  return { store: text(h.store), written: num(h.written), errors: num(h.errors), spilled: num(h.spilled_bytes), dropped: num(h.dropped), lag: num(h.lag_s), error: text(h.error) };
}

export function opsOf(told: Item): Ops {
  const frames = item(told.frames);
  const letters = item(told.deadletters);
  const log = item(told.log);
  return {
    mode: told.mode === 'cluster' ? 'cluster' : 'single', now: num(told.now), k: num(told.k),
    shards: list(told.shards).map(shardOf),
    members: list(told.members).map((m) => ({ role: text(m.role), id: text(m.id), seen: num(m.seen_s), active: m.active !== false, shards: names(m.shards) })),
    frames: { final: num(frames.final), provisional: num(frames.provisional), open: list(frames.open).length, missing: names(frames.missing), waiting: num(frames.waiting_s) },
    sources: list(told.sources).map((s) => ({ name: text(s.source), age: num(s.age_s), period: num(s.period_s), state: s.age_s === null ? 'never' : stateOf(s.state) })),
    moreSources: num(told.more_sources) || 0,
    letters: { total: num(letters.total), recent: num(letters.recent), reasons: Object.entries(item(letters.by_reason)).map(([r, n]): [string, number] => [r, num(n)]).sort((a, b) => b[1] - a[1]) },
    log: { state: text(log.state), bytes: num(log.bytes), free: num(log.free_bytes) },
    history: told.history ? historyOf(item(told.history)) : null,
    verdicts: list(told.verdicts).map(verdictOf),
  };
}

const RANK: Record<State, number> = { missing: 0, stale: 1, late: 2, never: 3, ok: 4 };

/** Sources that fell silent first, the longest before the others; then those never heard, then as the pack has them. */
export function ranked(sources: Source[]): Source[] {
  return sources.map((s, i) => ({ s, i })).sort((a, b) => RANK[a.s.state] - RANK[b.s.state] || (a.s.state === 'stale' || a.s.state === 'late' ? b.s.age - a.s.age : 0) || a.i - b.i).map((x) => x.s);
}

/** How many shards are in each state that any is in, worst first. */
export function tally(shards: Shard[]): [State, number][] {
  return STATES.map((s): [State, number] => [s, shards.filter((x) => x.state === s).length]).filter(([, n]) => n > 0).sort((a, b) => RANK[a[0]] - RANK[b[0]]);
}

/** `0–3, 7, desk`: numbers in runs. */
export function runs(ids: string[]): string {
  const numbers = ids.filter((s) => /^\d+$/.test(s)).map(Number).sort((a, b) => a - b);
  const out: string[] = [];
  for (let i = 0; i < numbers.length; ) {
    let j = i;
    while (numbers[j + 1] === (numbers[j] ?? 0) + 1) j++;
    out.push(j > i + 1 ? `${numbers[i]}–${numbers[j]}` : numbers.slice(i, j + 1).join(', '));
    i = j + 1;
  }
  return [...out, ...ids.filter((s) => !/^\d+$/.test(s))].join(', ');
}
