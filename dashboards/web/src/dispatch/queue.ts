/** The order of the queue, clocks and stages of a case. Pure. */

import type { Assigned, Case, File } from './nouns';

const OVER = new Set(['closed', 'evaluated', 'merged', 'voided', 'rejected', 'answered', 'transferred', 'withdrawn']);

export const isOver = (c: Pick<Case, 'state'>): boolean => OVER.has(c.state);

/** The clock that ends first: that of the stage or that of the whole handling; NaN without any. */
export function deadline(c: Pick<Case, 'stageDue' | 'due'>): number {
  if (!Number.isFinite(c.stageDue)) return c.due;
  return Number.isFinite(c.due) ? Math.min(c.stageDue, c.due) : c.stageDue;
}

/** By whose turn it is (`turn`: the lower the earlier), then by remaining time, overdue first; then by level; those without a clock at the end. Equal for equal input. */
export function sorted<T extends Case>(cases: Iterable<T>, turn: (c: T) => number = () => 0): T[] {
  const at = (c: Case): number => { const d = deadline(c); return Number.isFinite(d) ? d : Infinity; };
  const rank = (c: Case): number => c.level || 5;
  return [...cases].filter((c) => !isOver(c)).sort((a, b) => {
    const [x, y] = [at(a), at(b)];
    const first = turn(a) - turn(b);
    if (first !== 0) return first;
    return x === y ? rank(a) - rank(b) || (a.code < b.code ? -1 : a.code > b.code ? 1 : 0) : x - y;
  });
}

/** Share of the running clock that is used: 0..1, 1 once overdue; NaN without one. */
export function used(c: Case, now: number): number {
  const end = deadline(c);
  const begun = [end === c.stageDue ? c.stageSince : c.filed, c.since, c.reported].find(Number.isFinite) ?? NaN;
  if (!Number.isFinite(end)) return NaN;
  if (now >= end) return 1;
  return end > begun ? Math.max(0, Math.min(1, (now - begun) / (end - begun))) : NaN;
}

/** How the bar of a clock is drawn: full and hatched when over, dark when the end is near. */
export function pressure(c: Case, now: number): 'over' | 'near' | '' {
  const left = deadline(c) - now;
  if (left < 0) return 'over';
  return used(c, now) >= 0.8 || left < 8 * 60_000 ? 'near' : '';
}

export const STAGES = ['found', 'filed', 'dispatched', 'handled', 'verified', 'closed'] as const;
export type Stage = (typeof STAGES)[number];

/** The stage that is to be done next; 6 when none is. */
export function stageAt(state: string): number {
  switch (state) {
    case 'new': return 0;
    case 'reported': case 'accepted': return 1;
    case 'filed': case 'returned': case 'deferred': case 'parked': case 'reopened': return 2;
    case 'dispatched': case 'received': case 'arrived': return 3;
    case 'handled': return 4;
    case 'verified': return 5;
    default: return 6;
  }
}

/** The six stages with what is known of them: when it was done, or until when it must be. */
export function stages(c: Case & Partial<Pick<File, 'timeline'>>): { stage: Stage; how: 'done' | 'now' | 'wait'; at: number }[] {
  const next = stageAt(c.state);
  const last = (type: string): number => c.timeline?.findLast((e) => e.type === `case.${type}`)?.at ?? NaN;
  const done: number[] = [c.reported, c.filed, last('dispatched'), last('handled'), last('verified'), last('closed')];
  return STAGES.map((stage, i) => ({
    stage, how: i < next ? 'done' : i === next ? 'now' : 'wait', at: i < next ? (done[i] ?? NaN) : i === next ? (Number.isFinite(c.stageDue) ? c.stageDue : c.due) : NaN,
  }));
}

const WANTED: Record<string, string> = {
  reported: 'case.accepted', accepted: 'case.filed', filed: 'case.dispatched', returned: 'case.dispatched', reopened: 'case.dispatched', deferred: 'case.dispatched', parked: 'case.dispatched', unanswered: 'case.dispatched',
  handled: 'case.verified', verified: 'case.closed',
};

/** Whose turn it is: 0 = waits for a decision that one may take, 1 = for a check or an end that one may give, 2 = for others, or for a time. */
export function turn(state: string, may: (op: string) => boolean): 0 | 1 | 2 {
  const move = state === 'deferred' || state === 'parked' ? '' : (WANTED[state] ?? '');
  if (!move || !may(move)) return 2;
  return move === 'case.verified' || move === 'case.closed' ? 1 : 0;
}

/** What to do next with a case, as far as it may be done. */
export function nextMove(state: string, legal: readonly string[]): string {
  const move = WANTED[state] ?? '';
  return legal.includes(move) ? move : '';
}

/** The unit that leads a case, else the first one. */
export function lead(c: Pick<Case, 'units'>): Case['units'][number] | undefined {
  return c.units.find((u) => u.role === 'lead') ?? c.units[0];
}

/** Units of a case that gave no receipt in time. */
export function noReceipt(c: Pick<Case, 'units'>, now: number): Assigned[] {
  return c.units.filter((u) => u.state === 'sent' && u.receiptDue <= now);
}

/** How a unit on a case is shown: silent where the desk says so of it, `unanswered` without a receipt in time, else how far it is. */
export function bearing(u: Assigned, c: Pick<Case, 'state' | 'units'>, fleet: string | undefined, now: number): string {
  if (fleet === 'silent') return 'silent';
  return noReceipt(c, now).includes(u) ? 'unanswered' : u.state || c.state;
}

/** The state of a case, `unanswered` where the unit that leads it gave no receipt in time: then another one may be sent. */
export function standing(c: Pick<Case, 'state' | 'units'>, now: number): string {
  const unit = lead(c);
  return c.state === 'dispatched' && unit && noReceipt(c, now).includes(unit) ? 'unanswered' : c.state;
}

/** The rows of a long list that are seen, with two more on each side. */
export function windowed(total: number, top: number, height: number, row: number): { from: number; to: number } {
  const from = Math.max(0, Math.floor(top / row) - 2);
  return { from, to: Math.min(total, Math.ceil((top + height) / row) + 2) };
}

/** `2:40`, `14:20`, `1:05:00`: a span of seconds, as short as can be. */
export function span(seconds: number): string {
  if (!Number.isFinite(seconds)) return '—';
  const s = Math.max(0, Math.round(seconds));
  const two = (n: number): string => String(n).padStart(2, '0');
  return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
}

/** Metres as read at a glance: `120 m`, `0.4 km` would lose the metres, so from 1 km on: `1.4 km`. */
export function metres(m: number): string {
  if (!Number.isFinite(m)) return '—';
  return m < 995 ? `${Math.round(m / (m < 100 ? 1 : 10)) * (m < 100 ? 1 : 10)} m` : `${(m / 1000).toFixed(1)} km`;
}

/** Metres between two points, on a sphere. */
export function apart(lon1: number, lat1: number, lon2: number, lat2: number): number {
  const r = Math.PI / 180;
  const a = Math.sin(((lat2 - lat1) * r) / 2) ** 2 + Math.cos(lat1 * r) * Math.cos(lat2 * r) * Math.sin(((lon2 - lon1) * r) / 2) ** 2;
  return 2 * 6_371_000 * Math.asin(Math.sqrt(a));
}
