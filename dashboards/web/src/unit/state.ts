/** The handler's own state: which unit, which case, what waits to be sent, where one is. */

import { batch, computed, effect, signal } from '@preact/signals';
import { memory } from '../actions';
import { t, word } from '../i18n';
import { link } from '../store';
import { apart } from '../dispatch/queue';
import { command, evidence, key } from '../dispatch/send';
import { caseNow, file, look, me, queue, renew, select, unitNow } from '../dispatch/store';
import { added, drain, opOf, pause, reached, revive, STEPS, untold, type Outcome, type Taken, type UnitStep, type Waiting } from './offline';

export const asked = new URLSearchParams(location.search).get('unit') ?? memory.get('unit') ?? '';
/** The unit that one speaks for: as the address says, as last time, or the one that the account belongs to. */
export const chosen = signal(asked);
export const unit = computed(() => {
  const own = me.value !== null && me.value !== 'out' ? me.value.unit : '';
  return unitNow(chosen.value || own);
});
/** Cases that the unit was sent to, the most urgent first. */
export const mine = computed(() => queue.value.filter((c) => c.units.some((u) => u.unit === unit.value?.code && u.state !== 'cleared')));
export const at = computed(() => (file.value && mine.value.some((c) => c.code === file.value?.code) ? file.value : null));
/** What the unit is to the case. */
export const task = computed(() => at.value?.units.find((u) => u.unit === unit.value?.code));

export const waiting = signal<Waiting[]>(revive(memory.get('crew.waiting')));
/** What was taken and the case that stands here does not tell yet. */
const taken = signal<Taken[]>([]);
export const refused = signal<{ op: string; subject: string; words: string }[]>([]);
/** What could not even be kept: the browser's store is full or closed. */
export const unkept = signal(false);
export const said = signal<(() => string) | null>(null);
export const here = signal<{ lon: number; lat: number } | null>(null);

effect(() => {
  const text = JSON.stringify(waiting.value);
  memory.set('crew.waiting', text);
  unkept.value = waiting.value.length > 0 && memory.get('crew.waiting') !== text;
});
effect(() => { const f = file.value; if (f) taken.value = untold(taken.peek(), f.code, f.rev); });
effect(() => { if (chosen.value) memory.set('unit', chosen.value); });

// ---- sending -------------------------------------------------------------------------------------------------------

async function blobOf(url: string): Promise<Blob> {
  const [head = '', body = ''] = url.split(',', 2);
  const bytes = Uint8Array.from(atob(body), (c) => c.charCodeAt(0));
  return new Blob([bytes], { type: /^data:([^;]+)/.exec(head)?.[1] ?? 'image/jpeg' });
}

async function one(w: Waiting): Promise<Outcome> {
  let fields = w.fields;
  if (w.picture) {
    const handed = await evidence(await blobOf(w.picture));
    if (handed.how !== 'done') return handed.how === 'away' ? { how: 'away' } : { how: 'refused', words: handed.words };
    fields = { ...fields, hash: String(handed.told.hash ?? '') };
  }
  const answer = await command({ op: w.op, subject: w.subject, fields, idem: w.idem });
  if (answer.how === 'done') return { how: 'sent', rev: answer.rev };
  if (answer.how === 'away') return { how: 'away' };
  if (answer.how === 'refused' && answer.status === 401) { me.value = 'out'; return { how: 'away' }; }
  return { how: 'refused', words: answer.how === 'illegal' ? t('desk.illegal', w.subject, word('event', w.op), answer.legal.map((op) => word('event', op)).join(' · ')) : answer.words };
}

let draining = false;
let timer = 0;

/** Send what waits, in order; tried again later when nobody answers. */
export async function flush(): Promise<void> {
  clearTimeout(timer);
  if (draining || waiting.peek().length === 0) return;
  draining = true;
  const before = waiting.peek();
  const end = await drain(before, one);
  draining = false;
  const known = new Set(before.map((w) => w.idem));
  batch(() => {
    taken.value = [...taken.peek(), ...end.sent.map(({ op, subject, rev }) => ({ op, subject, rev }))].slice(-50);
    waiting.value = [...end.left, ...waiting.peek().filter((w) => !known.has(w.idem))];
    if (end.refused.length) refused.value = [...refused.peek(), ...end.refused.map((r) => ({ op: r.one.op, subject: r.one.subject, words: r.words }))].slice(-5);
  });
  for (const code of new Set(end.sent.map((w) => w.subject))) if (file.peek()?.code === code) void renew(code);
  const [first] = waiting.peek();
  if (first) timer = window.setTimeout(() => void flush(), first.tries ? pause(first.tries) : 0);
}

/** Press something: it is kept first, and then sent. */
export function press(op: string, subject: string, fields: Record<string, unknown>, picture?: string): void {
  const who = unit.peek()?.code;
  const mark = op.startsWith('case.') && op !== 'case.noted' && op !== 'case.evidence' && who ? { unit: who } : {};
  waiting.value = added(waiting.peek(), { idem: key(), op, subject, fields: { ...mark, ...fields }, at: Date.now(), tries: 0, ...(picture ? { picture } : {}) });
  void flush();
}

// ---- steps ---------------------------------------------------------------------------------------------------------

export const far = computed(() => (at.value ? reached(task.value?.state ?? '', [...waiting.value, ...taken.value], at.value.code) : -1));
export const next = computed<UnitStep | null>(() => STEPS[far.value + 1] ?? null);

/** The case that was done last on this phone; '' = none. */
export const done = signal('');

/** The next step of the case. */
export function advance(): void {
  const c = at.peek();
  const step = next.peek();
  if (!c || !step) return;
  done.value = step === 'handled' ? c.code : '';
  if (step === 'enroute' || step === 'received') locate();
  press(opOf(step, task.peek()?.role ?? ''), c.code, {});
}

/** Times of the steps, as far as told; what was pressed here and waits is told by the time of the press. */
export const times = computed(() => STEPS.map((step) => {
  const c = at.value;
  if (!c) return { at: NaN, waits: false };
  const ops = [`case.${step}`, ...(step === 'handled' ? ['case.cleared'] : [])];
  const held = waiting.value.find((w) => w.subject === c.code && ops.includes(w.op));
  if (held) return { at: held.at, waits: true };
  return { at: c.timeline.findLast((e) => ops.includes(e.type))?.at ?? NaN, waits: false };
}));

// ---- place ---------------------------------------------------------------------------------------------------------

let watching = -1;
/** Ask where one is; only after something was pressed. */
function locate(): void {
  if (watching >= 0 || !('geolocation' in navigator)) return;
  watching = navigator.geolocation.watchPosition((p) => { here.value = { lon: p.coords.longitude, lat: p.coords.latitude }; }, () => { here.value = null; }, { enableHighAccuracy: true, maximumAge: 5_000 });
}

/** Metres to the case, from where the phone or else the server says one is. */
export const distance = computed(() => {
  const c = at.value;
  const from = here.value ?? unit.value;
  return c && from ? apart(from.lon, from.lat, c.lon, c.lat) : NaN;
});
/** Seconds that the server gives for the way; NaN where it does not. */
export const eta = computed(() => at.value?.candidates.find((c) => c.unit === unit.value?.code)?.eta ?? NaN);

/** Changes only when the line comes or goes, not with each heartbeat. */
const live = computed(() => link.value.state === 'live');

/** Follow the unit's cases and send when there is a line again; gives what ends it. */
export function attend(): () => void {
  const stops = [
    effect(() => { const list = mine.value; const open = file.value?.code; if (list[0] && !list.some((c) => c.code === open)) select(list[0].code); }),
    effect(() => { if (live.value) void flush(); }),
  ];
  const online = (): void => void flush();
  addEventListener('online', online);
  const again = window.setInterval(() => { const code = file.peek()?.code; if (code && caseNow(code)) void look(code); }, 15_000);
  return () => { stops.forEach((stop) => stop()); clearInterval(again); clearTimeout(timer); removeEventListener('online', online); if (watching >= 0) navigator.geolocation.clearWatch(watching); watching = -1; };
}

