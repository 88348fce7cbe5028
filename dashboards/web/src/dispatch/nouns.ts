/** Cases, units and alarms as the server tells them, read with care. Times ms UTC, NaN = none. Pure. */

import type { Level, Text } from '../types';
import type { Item } from '../wire';

/** `receiptDue`: until when one that was sent has to say that it has the case, NaN once it did. */
export interface Assigned { unit: string; role: string; state: string; since: number; receiptDue: number }

/** A case as the queue shows it. */
export interface Case {
  code: string; rev: number; level: Level; category: string; title: Text; state: string; stage: string;
  stageDue: number; stageSince: number; due: number; deferred: number; scope: number; where: Text; lon: number; lat: number;
  reported: number; filed: number; since: number; owner: string; drill: boolean; channel: string;
  text: string; address: string; units: Assigned[]; merged: string[]; into: string;
  /** Codes of other districts whose units work on it: they see it meanwhile. */
  lent: string[];
  passed: Passed | null;
}

/** A report that was passed on to others, 110, 119, 120; `waits`: they have not said yet that they have it. */
export interface Passed { to: string; receipt: string; waits: boolean }
export interface Evidence { type: string; id: string; at: number }
/** One part of a reason: what was asked for, what was found, and its past where the server sends one. */
export interface Part { label: Text; value: string; number: number; unit: string; ok: boolean; evidence: Evidence[]; series: number[]; limit: number }
export interface Why { rule: string; version: string; confidence: number; at: number; parts: Part[] }
export interface Entry { at: number; type: string; actor: string; text: string; unit: string; id: string; hash: string }
export interface Terms { [name: string]: number }
export interface Duplicate { code: string; level: Level; title: Text; score: number; distance: number; gap: number; terms: Terms }
export interface Candidate { unit: string; name: string; state: string; eta: number; distance: number; terms: Terms; score: number; feasible: boolean; late: boolean; why: Text }
export interface Step { n: number; title: Text; role: string; doneBy: string; doneAt: number }
export interface Plan { run: string; plan: string; title: Text; steps: Step[] }
export interface Report { at: number; channel: string; text: string }

/** A case in full. */
export interface File extends Case {
  legal: string[]; why: Why | null; timeline: Entry[]; duplicates: Duplicate[]; candidates: Candidate[]; plan: Plan | null; reports: Report[];
}

export interface Unit {
  code: string; name: string; kind: string; skills: string[]; state: string; case: string; lon: number; lat: number;
  load: number; capacity: number; home: string; shiftUntil: number; seen: number;
}

export interface Alarm {
  /** `scope`: its row, or its code where only that is told. */
  code: string; rule: string; scope: number | string; title: Text; priority: Level; active: boolean; acked: boolean; state: string; occurrence: number;
  since: number; ackedBy: string; ackedAt: number; shelvedBy: string; shelvedUntil: number; shelvedWhy: string;
  value: number; unit: string; group: string; firstOut: boolean; case: string; drill: boolean; rev: number;
}

export interface Me { user: string; name: string; roles: Text[]; scopes: string[]; may: string[]; demo: boolean; unit: string }

const text = (v: unknown): string => (typeof v === 'string' ? v : typeof v === 'number' || typeof v === 'boolean' ? String(v) : '');
const num = (v: unknown): number => (typeof v === 'number' ? v : NaN);
const list = (v: unknown): Item[] => (Array.isArray(v) ? v.filter((x): x is Item => x !== null && typeof x === 'object') : []);
const names = (v: unknown): string[] => (Array.isArray(v) ? v.map(text).filter(Boolean) : text(v).split(' ').filter(Boolean));
const item = (v: unknown): Item => (v !== null && typeof v === 'object' ? (v as Item) : {});
/** Words in both languages; plain text is both. */
export const words = (v: unknown): Text => (v !== null && typeof v === 'object' ? { zh: text((v as Item).zh), en: text((v as Item).en) } : { zh: text(v), en: text(v) });
const numbers = (v: unknown): Terms => Object.fromEntries(Object.entries(item(v)).filter((e): e is [string, number] => typeof e[1] === 'number'));

/** 1..4 of a number or a Roman numeral; 0 = none. */
export function levelOf(v: unknown): Level {
  const n = typeof v === 'number' ? v : ({ I: 1, II: 2, III: 3, IV: 4 }[text(v)] ?? 0);
  return n >= 1 && n <= 4 ? (Math.trunc(n) as Level) : 0;
}

/** The short form of a case; what it does not say is kept from `old`. */
export function caseOf(x: Item, old?: Case): Case {
  const has = (k: string): boolean => x[k] !== undefined;
  const n = (k: string, kept: number | undefined): number => (has(k) ? num(x[k]) : (kept ?? NaN));
  const s = (k: string, kept: string | undefined): string => (has(k) ? text(x[k]) : (kept ?? ''));
  return {
    code: text(x.code), rev: n('rev', old?.rev), level: has('level') ? levelOf(x.level) : (old?.level ?? 0), category: s('category', old?.category),
    title: has('title') ? words(x.title) : (old?.title ?? {}), state: s('state', old?.state) || 'reported', stage: s('stage', old?.stage),
    stageDue: n('stage_due', old?.stageDue), stageSince: n('stage_since', old?.stageSince), due: n('due_at', old?.due), deferred: n('deferred_ms', old?.deferred),
    scope: n('scope', old?.scope), where: has('where') ? words(x.where) : (old?.where ?? {}), lon: n('lon', old?.lon), lat: n('lat', old?.lat),
    reported: n('reported_at', old?.reported), filed: n('filed_at', old?.filed), since: n('since', old?.since), owner: has('owner') ? (typeof x.owner === 'string' ? x.owner : text(item(x.owner).unit)) : (old?.owner ?? ''),
    drill: has('drill') ? x.drill === true : (old?.drill ?? false), channel: s('channel', old?.channel), text: s('text', old?.text), address: s('address', old?.address),
    units: has('units') ? list(x.units).map((u) => ({ unit: text(u.unit), role: text(u.role), state: text(u.state), since: num(u.since), receiptDue: num(u.receipt_due) })) : (old?.units ?? []),
    merged: has('merged') ? names(x.merged) : (old?.merged ?? []), into: s('into', old?.into), lent: has('lent') ? names(x.lent) : (old?.lent ?? []), passed: has('transfer') ? passedOf(x.transfer) : (old?.passed ?? null),
  };
}

const passedOf = (v: unknown): Passed | null => (v !== null && typeof v === 'object' ? { to: text((v as Item).to), receipt: text((v as Item).receipt), waits: (v as Item).waits === true } : null);

function partOf(p: Item): Part {
  const value = p.value;
  const plain = typeof value === 'boolean' || value === null || value === undefined ? '' : text(value);
  return {
    label: words(p.label), value: typeof value === 'boolean' ? (value ? 'yes' : 'no') : plain, number: num(value), unit: text(p.unit), ok: p.ok === true,
    evidence: list(p.evidence).map((e) => ({ type: text(e.type), id: text(e.id), at: num(e.time) })),
    series: Array.isArray(p.series) ? p.series.map((v) => (typeof v === 'number' ? v : NaN)) : [], limit: num(p.limit),
  };
}

function whyOf(v: unknown): Why | null {
  if (v === null || typeof v !== 'object') return null;
  const w = v as Item;
  const parts = list(w.parts).map(partOf);
  const seen = parts.flatMap((p) => p.evidence.map((e) => e.at)).filter(Number.isFinite);
  return { rule: text(w.rule), version: text(w.version), confidence: num(w.confidence), at: seen.length ? Math.max(...seen) : NaN, parts };
}

function planOf(v: unknown): Plan | null {
  if (v === null || typeof v !== 'object') return null;
  const p = v as Item;
  return { run: text(p.run), plan: text(p.plan), title: words(p.title), steps: list(p.steps).map((s) => ({ n: num(s.n), title: words(s.title), role: text(s.role), doneBy: text(s.done_by), doneAt: num(s.done_at) })) };
}

/** A unit that may come, with the terms of its score. */
export function candidateOf(c: Item): Candidate {
  return {
    unit: text(c.unit), name: text(c.name), state: text(c.state), eta: num(c.eta_s), distance: num(c.distance_m), terms: numbers(c.terms), score: num(c.score),
    feasible: c.feasible !== false, late: c.late === true, why: words(c.why),
  };
}

/** The full form of a case. */
export function fileOf(x: Item): File {
  return {
    ...caseOf(x), legal: names(x.legal), why: whyOf(x.why), plan: planOf(x.plan),
    timeline: list(x.timeline).map((e) => ({ at: num(e.t), type: text(e.type), actor: text(e.actor), text: text(e.text), unit: text(e.unit), id: text(e.id), hash: text(e.hash) })),
    duplicates: list(x.duplicates).map((d) => ({ code: text(d.code), level: levelOf(d.level), title: words(d.title), score: num(d.score), distance: num(d.distance_m), gap: num(d.gap_s), terms: numbers(d.terms) })),
    candidates: list(x.candidates).map(candidateOf),
    reports: list(x.reports).map((r) => ({ at: num(r.t ?? r.time ?? r.reported_at), channel: text(r.channel), text: text(r.text) })),
  };
}

export function unitOf(x: Item, old?: Unit): Unit {
  const n = (k: string, kept: number | undefined): number => (x[k] === undefined ? (kept ?? NaN) : num(x[k]));
  const s = (k: string, kept: string | undefined): string => (x[k] === undefined ? (kept ?? '') : text(x[k]));
  return {
    code: text(x.code), name: s('name', old?.name), kind: s('kind', old?.kind), skills: x.skills === undefined ? (old?.skills ?? []) : names(x.skills),
    state: s('state', old?.state), case: s('case', old?.case), lon: n('lon', old?.lon), lat: n('lat', old?.lat), load: n('load', old?.load),
    capacity: n('capacity', old?.capacity), home: s('home', old?.home), shiftUntil: n('shift_until', old?.shiftUntil), seen: n('seen', old?.seen),
  };
}

/** An alarm; rows of the channel come whole. */
export function alarmOf(x: Item): Alarm {
  return {
    code: text(x.code), rule: text(x.rule), scope: typeof x.scope === 'number' ? x.scope : text(x.scope), title: words(x.title), priority: levelOf(x.priority), active: x.active === true, acked: x.acked === true,
    state: text(x.state), occurrence: num(x.occurrence), since: num(x.since), ackedBy: text(x.acked_by), ackedAt: num(x.acked_at), shelvedBy: text(x.shelved_by),
    shelvedUntil: num(x.shelved_until), shelvedWhy: text(x.shelved_why), value: num(x.value), unit: text(x.unit), group: text(x.group), firstOut: x.first_out === true,
    case: text(x.case), drill: x.drill === true, rev: num(x.rev),
  };
}

export function meOf(x: Item): Me {
  return { user: text(x.user), name: text(x.name), roles: list(x.roles).map((r) => words(r.title)), scopes: names(x.scopes), may: names(x.may), demo: x.demo === true, unit: text(x.unit) };
}
