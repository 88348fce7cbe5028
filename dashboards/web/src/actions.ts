/** What keys and buttons do, and what of it is remembered. */

import { untracked } from '@preact/signals';
import { TITLES, type Page } from './address';
import { lang, t } from './i18n';
import { ask, go, page, readAddress, why } from './route';
import { choose, chosen, drill, flags, focus, groups, listing, panel, picked, scopes, theme } from './store';
import { view } from './map/view';

export const memory = {
  get(key: string): string | null {
    try { return localStorage.getItem(`citytwin.${key}`); } catch { return null; }
  },
  set(key: string, value: string): void {
    try { localStorage.setItem(`citytwin.${key}`, value); } catch { /* private mode: choices last for this page only */ }
  },
};

/** The wall is dark, the pages for a desk light, unless somebody chose otherwise; each page remembers its own. */
const THEMES = {
  wall: { key: 'theme', first: 'dark' }, dispatch: { key: 'theme.dispatch', first: 'light' }, lab: { key: 'theme.lab', first: 'light' },
  ops: { key: 'theme.ops', first: 'light' }, unit: { key: 'theme.unit', first: 'dark' },
} as const;

function dress(to: Page, wanted: string | null = null): void {
  const look = wanted ?? memory.get(THEMES[to].key) ?? THEMES[to].first;
  if (look === 'light' || look === 'dark') theme.value = look;
}

/** Language, theme and what to look at: from the address, else from the last visit. */
export function recall(): void {
  const query = new URLSearchParams(location.search);
  const words = query.get('lang') ?? memory.get('lang');
  if (words === 'zh' || words === 'en') lang.value = words;
  dress(page.peek(), query.get('theme'));
  const asked = readAddress();
  chosen.value = asked.id || (memory.get('indicator') ?? '');
  if (asked.id && asked.why) ask(asked.id, asked.why);
}

let worn = page.peek();

export function remember(): void {
  if (worn !== page.value) { worn = page.value; untracked(() => dress(worn)); }
  const root = document.documentElement;
  root.lang = lang.value === 'zh' ? 'zh-CN' : 'en';
  root.dataset.theme = theme.value;
  root.dataset.page = page.value;
  document.title = `CityTwin · ${t(TITLES[page.value])}`;
  memory.set('lang', lang.value);
  memory.set(THEMES[page.value].key, theme.value);
  if (chosen.value) memory.set('indicator', chosen.value);
}

export const toggleLang = (): void => { lang.value = lang.value === 'zh' ? 'en' : 'zh'; };
export const toggleTheme = (): void => { theme.value = theme.value === 'dark' ? 'light' : 'dark'; };
export const toggleFull = (): void => {
  void (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
};
export const toggle = (name: keyof typeof flags.value): void => { flags.value = { ...flags.value, [name]: !flags.value[name] }; };

/** One level up; at the city nothing happens. */
export function up(): void {
  const parent = scopes.value.parent[focus.value] ?? -1;
  if (parent >= 0) drill(parent);
}

/** Close what is open, the topmost first; with nothing open go one level up. */
export function close(): void {
  if (panel.value) panel.value = null;
  else if (why.value) why.value = null;
  else if (picked.value) picked.value = null;
  else up();
}

/** The next or previous indicator in the order of the cards. */
export function step(by: number): void {
  if (page.value === 'ops') return;
  const ids = page.value === 'lab' ? listing.value : groups.value.flatMap((g) => g.vitals.map((v) => v.ind.id));
  const at = ids.indexOf(chosen.value);
  const id = ids[(at + by + ids.length) % ids.length];
  if (id) choose(id, page.value === 'wall' && picked.value?.type === 'indicator');
}

/** The field that finds indicators: the workshop has one of its own. */
function find(): void {
  const field = page.value === 'lab' ? document.getElementById('lab-find') : null;
  if (field) field.focus();
  else panel.value = 'search';
}

export interface Binding { key: string; name: 'search' | 'lang' | 'theme' | 'full' | '3d' | 'devices' | 'up' | 'home' | 'city' | 'all' | 'next' | 'prev' | 'why' | 'lab' | 'ops' | 'dispatch' | 'close' | 'help'; run: () => void }

/** The registry of keys; the `?` list is made from it. */
export const KEYS: Binding[] = [
  { key: '/', name: 'search', run: find },
  { key: 'j', name: 'next', run: () => step(1) },
  { key: 'k', name: 'prev', run: () => step(-1) },
  { key: 'w', name: 'why', run: () => { const code = scopes.value.code[focus.value]; if (chosen.value && code) ask(chosen.value, code); } },
  { key: 'g', name: 'lab', run: () => go(page.value === 'lab' ? 'wall' : 'lab') },
  { key: 'o', name: 'ops', run: () => go(page.value === 'ops' ? 'wall' : 'ops') },
  { key: 'p', name: 'dispatch', run: () => go('dispatch') },
  { key: 'i', name: 'all', run: () => (panel.value = 'all') },
  { key: 'u', name: 'up', run: up },
  { key: 'h', name: 'home', run: () => { drill(0); view.home(); } },
  { key: 'c', name: 'city', run: () => { drill(0); view.whole(); } },
  { key: 'b', name: '3d', run: () => toggle('three') },
  { key: 'd', name: 'devices', run: () => toggle('devices') },
  { key: 'l', name: 'lang', run: toggleLang },
  { key: 't', name: 'theme', run: toggleTheme },
  { key: 'f', name: 'full', run: toggleFull },
  { key: '?', name: 'help', run: () => (panel.value = 'help') },
  { key: 'Escape', name: 'close', run: close },
];

/** Run the binding of a key, unless somebody is typing. */
export function onKey(event: KeyboardEvent): void {
  if (page.peek() === 'dispatch' || page.peek() === 'unit') return; // they have keys of their own
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== 'Escape')) return;
  const found = KEYS.find((b) => b.key === event.key);
  if (!found) return;
  event.preventDefault();
  found.run();
}
