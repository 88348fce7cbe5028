/** What the workshop knows of its indicators, asked for every 5 s while the page is seen; toasts tell what changed. */

import { batch, computed, signal } from '@preact/signals';
import { editsOf, labStateOf, news, turned, type Edit, type LabState } from '../definition';
import { redefine } from '../link';
import { read } from '../reads';
import { clock, link } from '../store';
import type { Item } from '../wire';

const EVERY_MS = 5_000;
/** How long a toast stands; one that says what went wrong stands longer. */
const STAND_MS = 8_000;
const STAND_BAD_MS = 20_000;
const MOST = 3;

export const states = signal<Map<string, LabState>>(new Map());
export const edits = signal<Edit[]>([]);
/** Files of the plugins folder that are being checked. */
export const checking = signal<string[]>([]);
/** Why the workshop's own facts are not here; '' = they are. */
export const trouble = signal('');
export interface Toast { key: number; edit: Edit }
export const toasts = signal<Toast[]>([]);

function newestOf(list: Edit[]): Map<string, Edit> {
  const out = new Map<string, Edit>();
  for (const e of list) if (!(e.at <= (out.get(e.id)?.at ?? -1))) out.set(e.id, e);
  return out;
}

/** The newest edit of each indicator, and the newest that has values. */
export const newest = computed(() => newestOf(edits.value));
export const newestChange = computed(() => newestOf(edits.value.filter((e) => e.before.size > 0 || e.after.size > 0)));

let known = NaN;
let count = 0;

export function dismiss(key: number): void {
  toasts.value = toasts.peek().filter((x) => x.key !== key);
}

function tell(edit: Edit): void {
  const key = (count += 1);
  toasts.value = [...toasts.peek(), { key, edit }].slice(-MOST);
  window.setTimeout(() => dismiss(key), edit.error ? STAND_BAD_MS : STAND_MS);
}

/** Tell of edits and errors since the last look; those that were there before the page was opened are no news. */
function digest(now: LabState[], list: Edit[]): void {
  const first = Number.isNaN(known);
  const fresh = first ? [] : news(known, list);
  const told = new Set(fresh.map((e) => e.id));
  const worse = first ? [] : turned(states.peek(), now, clock.peek().server).filter((e) => !told.has(e.id));
  known = Math.max(first ? 0 : known, ...list.map((e) => e.at));
  edits.value = list;
  states.value = new Map(now.map((s) => [s.id, s]));
  for (const e of [...fresh, ...worse]) tell(e);
  if (fresh.some((e) => e.kind !== 'refused')) redefine().catch(() => undefined); // the line's own word about it comes too
}

async function look(): Promise<void> {
  if (link.peek().state !== 'live') return;
  try {
    const [lab, changes] = await Promise.all([read<{ items: Item[]; files?: Item[] }>('/api/v1/lab'), read<{ items: Item[] }>('/api/v1/lab/edits')]);
    batch(() => {
      trouble.value = '';
      checking.value = (lab.files ?? []).filter((f) => f.status === 'checking').map((f) => String(f.file));
      digest(lab.items.map(labStateOf), changes.items.flatMap(editsOf));
    });
  } catch (error) {
    trouble.value = error instanceof Error ? error.message : String(error);
  }
}

/** Look now and every 5 s while the page is seen; gives what ends it. */
export function watchLab(): () => void {
  let timer = 0;
  let gone = false;
  const turn = (): void => {
    clearTimeout(timer);
    const seen = document.visibilityState === 'visible';
    void (seen ? look() : Promise.resolve()).finally(() => { if (!gone && seen) timer = window.setTimeout(turn, EVERY_MS); });
  };
  document.addEventListener('visibilitychange', turn);
  const stop = link.subscribe((l) => { if (l.state === 'live' && trouble.peek() === '' && states.peek().size === 0) turn(); });
  return () => { gone = true; clearTimeout(timer); stop(); document.removeEventListener('visibilitychange', turn); };
}
