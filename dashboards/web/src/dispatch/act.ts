/** What the dispatcher does: commands with their answers, the bar, the sheets that lie over the page. */

import { batch, computed, signal } from '@preact/signals';
import { hms } from '../format';
import { lang, t, word } from '../i18n';
import { acknowledging, open, type Group } from './alarms';
import { brief, parse, type Command, type Meaning, type World } from './grammar';
import type { Alarm, Candidate, File } from './nouns';
import { deadline, nextMove, standing } from './queue';
import type { Answer } from './answer';
import { command, key } from './send';
import { alarmNow, allAlarms, caseNow, file, fleet, groups, look, may, me, queue, renew, second, select, selected, settled, unitNow, zone } from './store';

export type Sheet = 'keys' | 'alarms' | 'intake' | 'handover' | 'batch' | 'warnings';
export const sheet = signal<Sheet | null>(null);
export const bar = signal('');
/** The last word on what was done: good news fade by themselves, bad ones stay until something else is done. */
export const notice = signal<{ good: boolean; words: () => string } | null>(null);
export const busy = signal(0);

/** What people call a command; the event it becomes has a name of its own. */
export function moveName(op: string): string {
  const own = word('move', op);
  return own === op ? word('event', op) : own;
}

/** What may always be said changes nothing: it is left out where moves are listed. */
const SAYINGS = new Set(['case.noted', 'case.evidence', 'case.urged', 'case.supervised', 'case.instructed', 'case.unlike', 'case.called_back']);
const possible = (legal: readonly string[]): string => legal.filter((op) => !SAYINGS.has(op)).map((op) => moveName(op)).join(' · ') || '—';

let fading = 0;
export function tell(good: boolean, words: () => string): void {
  clearTimeout(fading);
  notice.value = { good, words };
  if (good) fading = window.setTimeout(() => { notice.value = null; }, 6_000);
}

/** Codes of the open cases, and of the one that is looked at: a report that was passed on is over and may still be acknowledged. */
function named(): string[] {
  const open = queue.value.map((c) => c.code);
  return selected.value && !open.includes(selected.value) ? [...open, selected.value] : open;
}

/** What the bar may speak of. Alarms: those that are open, the worst group first. */
function world(): World {
  return {
    selected: selected.value, cases: named(), units: fleet.value.map((u) => u.code),
    alarms: groups.value.flatMap((g) => g.members.filter(open).map((a) => a.code)), now: second.peek(),
  };
}
export const meaning = computed<Meaning>(() => parse(bar.value, world()));

/** Candidates in the order of their keys: those that can come, the best first. */
export const candidates = computed<Candidate[]>(() => {
  const taken = new Set(file.value?.units.map((u) => u.unit));
  return [...(file.value?.candidates ?? [])].filter((c) => !taken.has(c.unit)).sort((a, b) => Number(b.feasible) - Number(a.feasible) || b.score - a.score);
});
export const recommended = computed(() => candidates.value.find((c) => c.feasible));

// ---- sending -------------------------------------------------------------------------------------------------------

/** Notes and the like say something about a case and change nothing that another may have changed meanwhile. */
const UNREVISED = new Set(['case.noted', 'case.evidence', 'case.urged']);

function revOf(op: string, subject: string): number | undefined {
  if (UNREVISED.has(op)) return undefined;
  if (op.startsWith('alarm.')) return alarmNow(subject)?.rev;
  return file.peek()?.code === subject ? file.peek()?.rev : caseNow(subject)?.rev;
}

/** Commands that nobody answered, with their keys: pressed again they are the same commands. */
const unanswered = new Map<string, string>();

/** Why a command was not taken, in words. */
function refusal(asked: Command, answer: Exclude<Answer, { how: 'done' }>): string {
  const { subject } = asked;
  switch (answer.how) {
    case 'stale': return t('desk.stale', subject, answer.by || t('desk.someone'), hms(answer.at, zone.peek()));
    case 'illegal': return t('desk.illegal', subject, moveName(asked.op), possible(answer.legal));
    case 'away': return t('desk.away', answer.words || t('desk.noAnswer'));
    default: return answer.status === 403 ? t('desk.notYours', moveName(asked.op)) : answer.words;
  }
}

/** Say a command; why it was not taken, null when it was. */
async function ask(asked: Command): Promise<(() => string) | null> {
  const content = JSON.stringify(asked);
  const idem = unanswered.get(content) ?? key();
  const rev = asked.rev ?? revOf(asked.op, asked.subject);
  const answer = await command({ ...asked, idem, ...(rev === undefined ? {} : { rev }) });
  if (answer.how === 'away') unanswered.set(content, idem);
  else unanswered.delete(content);
  if (answer.how === 'done') return null;
  if (answer.how === 'refused' && answer.status === 401) me.value = 'out';
  return () => refusal(asked, answer);
}

async function say(asked: Command): Promise<boolean> {
  const why = await ask(asked);
  if (why) tell(false, why);
  return why === null;
}

/** How many commands that have nothing to do with each other are under way at once. */
const AT_ONCE = 16;

/** Say commands that do not depend on each other, all of them: one that fails holds up none. */
async function each(commands: readonly Command[]): Promise<boolean> {
  let all = true;
  for (let i = 0; i < commands.length; i += AT_ONCE) {
    const answers = await Promise.all(commands.slice(i, i + AT_ONCE).map(say));
    all = answers.every(Boolean) && all;
  }
  return all;
}

/** Say commands of which each stands alone; why those were not taken that were not, by subject. `said`: in words, of how many were. */
export async function allowing(commands: readonly Command[], said: (done: number) => string): Promise<Map<string, () => string>> {
  const found = new Map<string, () => string>();
  for (let i = 0; i < commands.length; i += AT_ONCE) {
    await Promise.all(commands.slice(i, i + AT_ONCE).map(async (one) => { const why = await ask(one); if (why) found.set(one.subject, why); }));
  }
  if (selected.peek()) await renew(selected.peek());
  tell(found.size === 0, () => said(commands.length - found.size));
  return found;
}

/** Say commands in order; the first that fails ends it. Gives whether all were taken. */
export async function perform(commands: readonly Command[], done: () => string): Promise<boolean> {
  busy.value += 1;
  notice.value = null;
  let all = true;
  if (commands.every((one) => one.op === 'alarm.acknowledged')) all = await each(commands);
  else for (const one of commands) if (all) all = await say(one);
  if (selected.peek()) await renew(selected.peek()); // what is pressed next is about the case as it is now
  busy.value -= 1;
  if (all) tell(true, done);
  return all;
}

/** `派遣 C-10241 → U7 排水1队`: what a command does, in words. */
export function told(one: Command, count = 1): string {
  const of = one.op === 'case.merged' ? `${brief(one.subject)} → ${brief(String(one.fields.into))}` : brief(one.subject);
  const unit = one.fields.unit ? ` → ${String(one.fields.unit)} ${unitNow(String(one.fields.unit))?.name ?? ''}`.trimEnd() : '';
  return count > 1 ? `${moveName(one.op)} × ${count}` : `${moveName(one.op)} ${of}${unit}`;
}

/** Send a unit to the selected case, which the desk keeps with its reasons. */
export function send(unit: Candidate | undefined): void {
  const at = file.peek();
  if (!at || busy.peek() > 0) return;
  if (!unit) { tell(false, () => t('desk.noUnit')); return; }
  // strategy, score and candidates are the desk's to keep
  const one: Command = { op: 'case.dispatched', subject: at.code, fields: { unit: unit.unit } };
  void perform([one], () => told(one));
}

/** The selected case in full: a key that was quicker than the answer waits for it. */
async function whole(): Promise<File | null> {
  if (!selected.peek()) await settled();
  if (file.peek()?.legal.length === 0 && selected.peek()) await look(selected.peek());
  return file.peek();
}

/** Key D: only where a unit is still to be sent, so that a second press sends no second one. */
export async function sendBest(): Promise<void> {
  const at = await whole();
  if (!at || busy.peek() > 0) return;
  if (nextMove(standing(at, second.peek()), at.legal) === 'case.dispatched') send(recommended.peek());
  else tell(false, () => t(at.units.length ? 'desk.sent' : 'desk.nothing', at.units.length ? at.units.map((u) => u.unit).join(' ') : at.code, possible(at.legal)));
}

/** Who may not put a case off asks for it. */
function asAllowed(one: Command): Command {
  return one.op === 'case.deferred' && !may(one.op) && may('case.extension_asked') ? { ...one, op: 'case.extension_asked' } : one;
}

/** What Enter does in the queue: the next move of the case. */
export async function advance(): Promise<void> {
  const at = await whole();
  if (!at || busy.peek() > 0) return;
  const move = nextMove(standing(at, second.peek()), at.legal);
  if (move === 'case.dispatched') { send(recommended.peek()); return; }
  if (!move) { tell(false, () => t('desk.nothing', at.code, possible(at.legal))); return; }
  if (!may(move)) { tell(false, () => t('desk.notYours', moveName(move))); return; }
  const one: Command = { op: move, subject: at.code, fields: move === 'case.verified' ? { passed: true } : {} };
  void perform([one], () => told(one));
}

export function merge(other: string | undefined): void {
  const into = selected.peek();
  if (!other || !into) return;
  const one: Command = { op: 'case.merged', subject: other, fields: { into } };
  void perform([one], () => `${told(one)} · ${t('desk.undo')}`);
}

export function unlike(other: string | undefined): void {
  const subject = selected.peek();
  if (other && subject) { const one: Command = { op: 'case.unlike', subject, fields: { other } }; void perform([one], () => told(one)); }
}

export function unmerge(child: string): void {
  const one: Command = { op: 'case.unmerged', subject: child, fields: {} };
  void perform([one], () => told(one));
}

/** The next step of the plan that nobody has done. */
export function stepDone(n?: number): void {
  const plan = file.peek()?.plan;
  const at = plan?.steps.find((s) => !Number.isFinite(s.doneAt) && (n === undefined || s.n === n));
  if (!plan || !at) return;
  const one: Command = { op: 'plan.step_done', subject: plan.run, fields: { step: at.n } };
  void perform([one], () => told(one));
}

/** Acknowledge what is open of a group: each its own occurrence. */
export function acknowledge(members: readonly Alarm[] | undefined): void {
  const list = acknowledging(members ?? []);
  const [first] = list;
  if (first) void perform(list, () => told(first, list.length));
}

/** What key A acknowledges: what is open of the selected case, so that nothing new slips under the hand; else the worst group. */
export const next = computed<Group | undefined>(() => {
  const code = selected.value;
  const list = groups.value.filter((g) => g.unacked > 0);
  return (code && list.find((g) => !g.rest && g.members.some((a) => a.case === code && open(a)))) || list[0];
});

/** Go to what an alarm is about. */
export function goTo(a: Alarm): void {
  if (a.case) { select(a.case); sheet.value = null; }
}

/** Key J: to the case of the worst open alarm that has one, pressed again to that of the next; where none is open, of the newest. */
export function goToAlarm(): void {
  const list = groups.peek().flatMap((g) => g.members).filter((a) => a.case && caseNow(a.case));
  const [newest] = [...list].sort((a, b) => b.since - a.since);
  const waiting = list.filter(open);
  const to = waiting[(waiting.findIndex((a) => a.case === selected.peek()) + 1) % Math.max(1, waiting.length)] ?? newest;
  if (to) goTo(to);
  else tell(false, () => t('alarms.noCase'));
}

/** The bar with the beginning of a command about the selected case. */
export function begin(alias: string): void {
  batch(() => { bar.value = selected.peek() ? `${alias} ${brief(selected.peek())} ` : `${alias} `; notice.value = null; });
  focusBar();
}

/** Key R: what police, fire or ambulance answered to a report that was passed on to them. */
export function receipt(): void {
  const at = file.peek();
  const op = 'case.acknowledged';
  if (at && at.legal.includes(op) && may(op)) begin(lang.peek() === 'zh' ? '回执' : 'receipt');
  else if (at) tell(false, () => (may(op) ? t('desk.illegal', at.code, moveName(op), possible(at.legal)) : t('desk.notYours', moveName(op))));
}

export function focusBar(): void {
  const field = document.getElementById('desk-bar') as HTMLInputElement | null;
  field?.focus();
  field?.setSelectionRange(field.value.length, field.value.length);
}

export function focusQueue(): void {
  document.getElementById('desk-queue')?.focus();
}

/** Enter in the bar. What was typed stays there until it was taken. */
export async function enter(): Promise<void> {
  const line = bar.peek();
  const m = parse(line, { ...world(), now: second.peek() });
  if (m.shows) { bar.value = ''; sheet.value = m.shows as Sheet; return; }
  if (m.opens) { select(m.opens); bar.value = ''; focusQueue(); return; }
  const commands = m.commands.map((one) => {
    const occurrence = one.op === 'alarm.acknowledged' ? allAlarms.peek().find((a) => a.code === one.subject)?.occurrence : undefined;
    return occurrence === undefined ? asAllowed(one) : { ...one, fields: { ...one.fields, occurrence } };
  });
  const [first] = commands;
  if (!first) return;
  if (await perform(commands, () => told(first, commands.length)) && bar.peek() === line) { bar.value = ''; focusQueue(); }
}

/** Close the topmost thing; with nothing open go back to the queue. */
export function close(): void {
  if (sheet.peek()) sheet.value = null;
  else if (bar.peek() && document.activeElement?.id === 'desk-bar') bar.value = '';
  else notice.value = null;
  focusQueue();
}

/** Seconds left of the selected case's clock. */
export const left = computed(() => (file.value ? deadline(file.value) - second.value : NaN));
