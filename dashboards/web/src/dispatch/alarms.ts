/** Groups of alarms, counts, and which sound is due. Pure. */

import type { Level, Text } from '../types';
import type { Alarm } from './nouns';

export const MOST_GROUPS = 20;

/** Whether somebody has still to say that it was seen. */
export const open = (a: Alarm): boolean => !a.acked && a.state !== 'normal' && a.state !== 'out_of_service' && a.state !== 'suppressed' && a.state !== 'shelved';
/** Whether it is shown at all: active, or not acknowledged yet, or put aside by somebody. */
export const shown = (a: Alarm): boolean => a.active || open(a) || a.state === 'shelved';

export interface Group {
  key: string; first: Alarm; members: Alarm[]; priority: Level; unacked: number;
  /** What was left over when there were too many groups: of any kind. */
  rest: boolean;
}

const rank = (level: Level): number => level || 5;

function groupOf(key: string, members: Alarm[], rest = false): Group {
  members.sort((a, b) => Number(open(b)) - Number(open(a)) || Number(b.firstOut) - Number(a.firstOut) || rank(a.priority) - rank(b.priority) || a.since - b.since || (a.code < b.code ? -1 : 1));
  const worst = members.reduce<Level>((w, a) => (a.priority && (!w || a.priority < w) ? a.priority : w), 0);
  const first = members.find((a) => a.firstOut) ?? members.find((a) => a.priority === worst) ?? (members[0] as Alarm);
  return { key, first, members, priority: worst, unacked: members.filter(open).length, rest };
}

/** Which group gives way first: nobody waits for it, then the mildest, then the finest, then the smallest. */
function yields(a: Alarm[], b: Alarm[], deepA: number, deepB: number): boolean {
  const [openA, openB] = [a.some(open), b.some(open)];
  if (openA !== openB) return !openA;
  const [worstA, worstB] = [Math.min(...a.map((x) => rank(x.priority))), Math.min(...b.map((x) => rank(x.priority)))];
  if (worstA !== worstB) return worstA > worstB;
  return deepA === deepB ? a.length < b.length : deepA > deepB;
}

/** The group is a path from coarse to fine; too many of them merge into what they have in common, the mildest first. */
function merged(found: Map<string, Alarm[]>, most: number): Map<string, Alarm[]> {
  const depth = (key: string): number => (key === '' ? 0 : key.split('/').length);
  while (found.size > most) {
    let least: [string, Alarm[]] | null = null;
    for (const one of found) if (one[0] !== '' && (!least || yields(one[1], least[1], depth(one[0]), depth(least[0])))) least = one;
    if (!least) break;
    const [key, members] = least;
    const up = key.includes('/') ? key.slice(0, key.lastIndexOf('/')) : '';
    found.delete(key);
    found.set(up, [...(found.get(up) ?? []), ...members]);
  }
  return found;
}

/**
 * Alarms of one cause are one group, worst and unacknowledged first; never more than `most` groups: what has nothing in
 * common is one last group, so that none is lost. An unacknowledged one always stands before an acknowledged one.
 */
export function grouped(alarms: Iterable<Alarm>, most = MOST_GROUPS): Group[] {
  const found = new Map<string, Alarm[]>();
  for (const a of alarms) {
    if (!shown(a)) continue;
    const key = a.group || a.code;
    const list = found.get(key);
    if (list) list.push(a);
    else found.set(key, [a]);
  }
  const groups = [...merged(found, most)].map(([key, members]) => groupOf(key, members, key === ''));
  return groups.sort((a, b) => Number(b.unacked > 0) - Number(a.unacked > 0) || rank(a.priority) - rank(b.priority) || Number(a.rest) - Number(b.rest) || b.first.since - a.first.since || (a.key < b.key ? -1 : 1));
}

/** How many are active by level I..IV. */
export function counted(alarms: Iterable<Alarm>): [number, number, number, number] {
  const out: [number, number, number, number] = [0, 0, 0, 0];
  for (const a of alarms) if (a.active && a.priority && a.state !== 'shelved' && a.state !== 'suppressed' && a.state !== 'out_of_service') out[a.priority - 1] = (out[a.priority - 1] ?? 0) + 1;
  return out;
}

/** The priority that sounds now: the worst that is active and not acknowledged; 0 = none. IV makes no noise. */
export function sounding(alarms: Iterable<Alarm>): Level {
  let worst: Level = 0;
  for (const a of alarms) if (open(a) && a.priority >= 1 && a.priority <= 3 && (!worst || a.priority < worst)) worst = a.priority;
  return worst;
}

/** Tones of a priority: [start s, length s, Hz]; and after how many seconds it is said again. */
export interface Pattern { tones: [number, number, number][]; every: number }
export const PATTERNS: Record<1 | 2 | 3, Pattern> = {
  1: { tones: [[0, 0.18, 880], [0.24, 0.18, 660], [0.48, 0.18, 880], [0.72, 0.18, 660], [0.96, 0.28, 880]], every: 4 },
  2: { tones: [[0, 0.22, 660], [0.3, 0.22, 660], [0.6, 0.22, 660]], every: 10 },
  3: { tones: [[0, 0.25, 440]], every: 30 },
};
export const TEST: Pattern = { tones: [[0, 0.2, 523], [0.22, 0.3, 659]], every: 0 };

/** The commands that acknowledge what is open in a group; each names its occurrence, so that a newer one stays open. */
export function acknowledging(members: readonly Alarm[]): { op: string; subject: string; fields: { occurrence: number }; rev: number }[] {
  return members.filter(open).map((a) => ({ op: 'alarm.acknowledged', subject: a.code, fields: { occurrence: a.occurrence }, rev: a.rev }));
}

/** What a title says in a language of its own, or the rule's code. */
export const titled = (a: Alarm): Text => (a.title.zh || a.title.en ? a.title : { zh: a.rule, en: a.rule });

/** How many were raised in the last ten minutes, as the page knows it. */
export function countedSoon(alarms: Iterable<Alarm>, now: number): number {
  let n = 0;
  for (const a of alarms) if (now - a.since < 600_000) n += 1;
  return n;
}
