/** What the desk knows: cases, units, alarms, who one is; and what was asked of the server. */

import { batch, computed, effect, signal } from '@preact/signals';
import { listen } from '../link';
import { read, Refused } from '../reads';
import { city, now } from '../store';
import type { Level } from '../types';
import type { Item } from '../wire';
import { counted, grouped, open, sounding } from './alarms';
import { alarmOf, caseOf, fileOf, meOf, unitOf, type Alarm, type Case, type File, type Me, type Unit } from './nouns';
import { isOver, sorted, standing, turn } from './queue';

const cases = new Map<string, Case>();
const units = new Map<string, Unit>();
const alarms = new Map<string, Alarm>();
const casesRev = signal(0);
const unitsRev = signal(0);
const alarmsRev = signal(0);

/** null: not known yet; 'out': the server wants to know who one is. */
export const me = signal<Me | 'out' | null>(null);
/** Whether it was asked who one is: until then the order of the queue is not that of anybody. */
const asked = signal(false);
/** What one may say; changes only with the person. */
const rights = computed(() => { const who = me.value; return new Set(who === null || who === 'out' ? [] : who.may); });
/** Whose turn a case is: see `turn`. */
export const turnOf = (c: Pick<Case, 'state' | 'units'>): 0 | 1 | 2 => turn(standing(c, second.peek()), (op) => rights.value.has(op));

/** Cases whose unit gave no receipt in time: said anew only when there is another one. */
const late = computed(() => { void casesRev.value; const at = second.value; return [...cases.values()].filter((c) => standing(c, at) !== c.state).map((c) => c.code).join(' '); });
/** Open cases in the order of the queue: what waits for who sits here comes first. */
export const queue = computed(() => { void casesRev.value; void late.value; return sorted(cases.values(), turnOf); });
export const fleet = computed(() => { void unitsRev.value; return [...units.values()].sort((a, b) => a.code.localeCompare(b.code, 'en', { numeric: true })); });
export const groups = computed(() => { void alarmsRev.value; return grouped(alarms.values()); });
export const counts = computed(() => { void alarmsRev.value; return counted(alarms.values()); });
export const unacked = computed(() => { void alarmsRev.value; let n = 0; for (const a of alarms.values()) if (open(a)) n += 1; return n; });
export const siren = computed<Level>(() => { void alarmsRev.value; return sounding(alarms.values()); });
/** Whether the server speaks of alarms at all; an older one does not. */
export const alarming = signal(false);
export const second = computed(() => Math.floor(now.value / 1000) * 1000);

export const caseNow = (code: string): Case | undefined => { void casesRev.value; return cases.get(code); };
export const unitNow = (code: string): Unit | undefined => { void unitsRev.value; return units.get(code); };
export const alarmNow = (code: string): Alarm | undefined => { void alarmsRev.value; return alarms.get(code); };
export const allAlarms = computed(() => { void alarmsRev.value; return [...alarms.values()]; });

export const selected = signal('');
/** The selected case in full; stays while a newer one is read. */
export const file = signal<File | null>(null);
/** Why there is no newer one: the server's words, '' when all is well. */
export const fileTrouble = signal('');
export interface Duty { post: string; person: string; until: number }
export const duty = signal<Duty[]>([]);

/** How fresh the terms of units are kept while somebody looks at them. */
const AGAIN_MS = 10_000;
let reading: { code: string; done: Promise<void> } | null = null;

function takeCase(item: Item): void {
  const made = caseOf(item, cases.get(String(item.code)));
  if (isOver(made)) cases.delete(made.code);
  else cases.set(made.code, made);
  if (made.code === selected.peek() && made.rev !== file.peek()?.rev) void look(made.code);
}

listen('case', {
  take: (items) => { items.forEach(takeCase); casesRev.value += 1; },
  drop: (codes) => { codes.forEach((c) => cases.delete(c)); casesRev.value += 1; },
  forget: () => { cases.clear(); casesRev.value += 1; },
});
listen('unit', {
  take: (items) => { for (const x of items) units.set(String(x.code), unitOf(x, units.get(String(x.code)))); unitsRev.value += 1; },
  drop: (codes) => { codes.forEach((c) => units.delete(c)); unitsRev.value += 1; },
  forget: () => { units.clear(); unitsRev.value += 1; },
});
listen('alarm', {
  take: (items) => { for (const x of items) { const a = alarmOf(x); if (a.state === 'normal' && !a.active) alarms.delete(a.code); else alarms.set(a.code, a); } alarming.value = true; alarmsRev.value += 1; },
  drop: (codes) => { codes.forEach((c) => alarms.delete(c)); alarmsRev.value += 1; },
  forget: () => { alarms.clear(); alarming.value = true; alarmsRev.value += 1; },
});

async function fetchFile(code: string): Promise<void> {
  try {
    const told = await read<Item & { item?: Item }>(`/api/v1/cases/${encodeURIComponent(code)}`);
    if (selected.peek() === code) batch(() => { file.value = fileOf(told.item ?? told); fileTrouble.value = ''; });
  } catch (error) {
    if (selected.peek() === code) fileTrouble.value = error instanceof Refused ? error.message : '—';
  } finally {
    if (reading?.code === code) reading = null;
  }
}

/** Read a case in full; one that is being read is waited for, and an answer that another choice overtook is dropped. */
export function look(code: string): Promise<void> {
  if (reading?.code !== code) reading = { code, done: fetchFile(code) };
  return reading.done;
}

/** Read it anew, whatever is under way: that may be older than what was just done. */
export function renew(code: string): Promise<void> {
  reading = null;
  return look(code);
}

/** Choose a case: its short form stands at once, the rest comes. */
export function select(code: string): void {
  if (code === selected.peek()) return;
  const index = queue.peek().findIndex((c) => c.code === code);
  chosenAt = { index, turn: index < 0 ? 2 : turnOf(queue.peek()[index] as Case) };
  batch(() => {
    selected.value = code;
    const short = cases.get(code);
    if (file.peek()?.code !== code) file.value = short ? { ...short, legal: [], why: null, timeline: [], duplicates: [], candidates: [], plan: null, reports: [] } : null;
    fileTrouble.value = '';
  });
  reading = null;
  if (code) void look(code);
}

/** Where in the queue the selected case was when it was chosen, and whose turn it was. */
let chosenAt = { index: -1, turn: 2 };

/** The next or the previous case of the queue; of a case that was passed on, the next is the one that was behind it. */
export function step(by: number): void {
  const list = queue.peek();
  const now = list.findIndex((c) => c.code === selected.peek());
  const one = list[now];
  const moved = now < 0 || (one !== undefined && turnOf(one) !== chosenAt.turn);
  const next = moved ? Math.max(chosenAt.index, 0) + (by > 0 ? by - 1 : by) : now + by;
  const to = list[Math.max(0, Math.min(list.length - 1, next))];
  if (to) select(to.code);
}

/** Who one is, and (`roster`) until when one works. */
export async function identify(roster = true): Promise<void> {
  try {
    me.value = meOf(await read<Item>('/api/v1/me'));
  } catch (error) {
    if (error instanceof Refused && error.status === 401) me.value = 'out';
    return;
  } finally {
    asked.value = true;
  }
  if (!roster || !may('read.duty')) return;
  try {
    const told = await read<{ items?: Item[] }>('/api/v1/duty');
    const t = (v: unknown): string => (typeof v === 'string' ? v : '');
    const n = (v: unknown): number => (typeof v === 'number' ? v : NaN);
    duty.value = (told.items ?? []).filter((d) => d.kind !== 'shift').map((d) => ({ post: t(d.code), person: t(d.person), until: n(d.until) }));
  } catch {
    duty.value = []; // no roster: no end of a shift is shown
  }
}

let known: Promise<void> = Promise.resolve();
/** Once it is known who one is, and so which case is the first. */
export const settled = (): Promise<void> => known;

/** Whether one may say a command, as far as is known: what the server says counts. */
export function may(op: string): boolean {
  return rights.value.has(op);
}

/** End of the shift of the one who is signed in; NaN where the roster does not say. */
export const shiftEnd = computed(() => {
  const who = me.value;
  if (who === null || who === 'out') return NaN;
  const at = second.value;
  return duty.value.find((d) => (d.person === who.user || d.person === who.name) && at < d.until)?.until ?? NaN;
});

export const zone = computed(() => city.value.timezone);

/** Keep the first case chosen until somebody chooses, and the terms of the chosen one fresh; gives what ends it. */
export function attend(): () => void {
  known = identify();
  const first = (): void => { if (!selected.peek()) { const worst = queue.peek()[0]; if (worst) select(worst.code); } };
  const stop = effect(() => { if (asked.value && queue.value.length) first(); });
  const timer = window.setInterval(() => { if (selected.peek() && document.visibilityState === 'visible') void look(selected.peek()); }, AGAIN_MS);
  return () => { stop(); clearInterval(timer); };
}
