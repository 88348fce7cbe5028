/** The form of an acceptance seat: what a caller reports becomes a case, or is said to be one that is known. */

import { computed, signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import '../css/intake.css';
import { lang, say, t, word } from '../i18n';
import { read, search } from '../reads';
import type { Text } from '../types';
import type { Item } from '../wire';
import { placeName } from '../store';
import { sheet, tell } from './act';
import { Earlier, useCaller } from './caller';
import { brief } from './grammar';
import { alike } from './intake';
import { Mark } from '../parts';
import { nameOf } from './list';
import { Over, Sign } from './parts';
import { middle, nudged, pin, pinning, rounded, sought, under } from './pin';
import { metres } from './queue';
import { command, key } from './send';
import { queue, second, select } from './store';

interface Named { name: string; code: string; lon: number; lat: number }
interface Kind { code: string; title: Text }

const EMPTY = { caller: '', confidential: false, channel: '12345', words: '', address: '', category: '', backfill: '', transfer: '', receipt: '' };
const form = signal({ ...EMPTY });
/** The place that was chosen by its name; the pin may have been moved from it. */
const place = signal<Named | null>(null);
const kind = signal<Kind | null>(null);
const places = signal<Named[]>([]);
const kinds = signal<Kind[]>([]);
const trouble = signal('');
const sending = signal(false);
/** One key for one report, however often it is sent. */
let idem = key();

const put = (change: Partial<typeof EMPTY>): void => { form.value = { ...form.peek(), ...change }; };
const finite = (v: unknown): number => (typeof v === 'number' ? v : NaN);

async function findPlaces(text: string): Promise<void> {
  const found = await search(text).catch(() => []);
  if (form.peek().address.trim() !== text) return;
  places.value = found.filter((x) => x.kind !== 'indicator').slice(0, 6).map((x) => ({ name: String(x.name ?? x.code ?? ''), code: String(x.code ?? ''), lon: finite(x.lon), lat: finite(x.lat) }));
}

async function findKinds(text: string): Promise<void> {
  const found = await read<{ items: Item[] }>(`/api/v1/categories?q=${encodeURIComponent(text)}`).catch(() => ({ items: [] as Item[] }));
  if (form.peek().category.trim() === text) kinds.value = found.items.slice(0, 6).map((x) => ({ code: String(x.code ?? ''), title: titleOf(x) }));
}

function titleOf(x: Item): Text {
  const v = x.title ?? x.name;
  if (v !== null && typeof v === 'object') return v as Text;
  return { zh: String(x.zh ?? v ?? x.code), en: String(x.en ?? v ?? x.code) };
}

/** Open cases that say about the same, near the place where one is known. */
const similar = computed(() => alike(form.value.words, kind.value?.code ?? '', pin.value, queue.value));

function reset(): void {
  form.value = { ...EMPTY };
  place.value = kind.value = pin.value = null;
  places.value = [];
  kinds.value = [];
  trouble.value = '';
  idem = key();
}

/** Milliseconds of a local time as the field gives it; NaN for none. */
const timeOf = (text: string): number => (text ? new Date(text).getTime() : NaN);

async function submit(): Promise<void> {
  const f = form.peek();
  if (!kind.peek() || !f.words.trim()) { trouble.value = t('intake.need'); return; }
  const past = timeOf(f.backfill);
  if (past > second.peek()) { trouble.value = t('intake.future'); return; }
  sending.value = true;
  const fields = {
    category: kind.peek()?.code, channel: f.channel, text: f.words.trim(), ...(f.address ? { address: f.address } : {}), ...(f.caller ? { caller: f.caller } : {}),
    ...(f.confidential ? { confidential: true } : {}), ...(Number.isFinite(past) ? { backfilled: true, happened_at: new Date(past).toISOString(), reason: t('intake.backfilled', new Date(past).toISOString()) } : {}),
  };
  const at = pin.peek();
  const named = place.peek()?.code;
  const spot = at ? { lon: at.lon, lat: at.lat } : named ? { scope: named } : {};
  const answer = await command({ op: 'case.reported', subject: '', fields, idem, ...spot });
  sending.value = false;
  if (answer.how !== 'done') { trouble.value = answer.words || t('desk.noAnswer'); return; }
  const code = String(answer.told.subject ?? '');
  if (f.transfer) await passOn(code, f.transfer, f.receipt);
  reset();
  sheet.value = null;
  if (code) select(code);
  tell(true, () => t('intake.taken', code));
}

/** To police, fire or ambulance: what they answered is part of it. */
async function passOn(code: string, to: string, receipt: string): Promise<void> {
  const answer = await command({ op: 'case.transferred', subject: code, fields: { to, receipt } });
  if (answer.how !== 'done') tell(false, () => t('intake.notPassed', code, to, answer.words));
}

/** Take a place by its name: the pin goes where it is. */
function choose(p: Named): void {
  place.value = p;
  places.value = [];
  put({ address: p.name });
  if (!Number.isFinite(p.lon)) return;
  pin.value = rounded({ lon: p.lon, lat: p.lat });
  sought.value += 1;
}

/** The pin in words, moved by arrow keys; set by a click on the map or at its middle. */
function Pin(): JSX.Element {
  const at = pin.value;
  const steer = (e: KeyboardEvent): void => {
    const to = at && nudged(at, e.key, e.shiftKey ? 100 : 10);
    if (!to) return;
    e.preventDefault();
    pin.value = rounded(to);
  };
  const set = (): void => { pin.value = middle.of(); };
  const where = at && under.value >= 0 ? placeName(under.value, lang.value) : '';
  return (
    <div class="pinl" role="group" aria-label={t('intake.pin')} data-testid="pin">
      {at
        ? <><button type="button" class="btn" onKeyDown={steer} onClick={() => { sought.value += 1; }} aria-describedby="pin-how" data-testid="pin-move"><Sign name="pin" /> {at.lon.toFixed(5)}, {at.lat.toFixed(5)}</button><span class="el" role="status">{where}</span><button type="button" class="btn" onClick={() => { pin.value = null; }}>{t('intake.pinOff')}</button></>
        : <button type="button" class="btn" onClick={set} data-testid="pin-set"><Sign name="pin" /> {t('intake.pinSet')}</button>}
      <span class="s d" id="pin-how">{t(at ? 'intake.pinMove' : 'intake.pinHint')}</span>
    </div>
  );
}

function Choice<T>({ list, name, take }: { list: T[]; name: (x: T) => string; take: (x: T) => void }): JSX.Element | null {
  if (list.length === 0) return null;
  return <ul class="pick" role="group">{list.map((x, i) => <li key={i}><button type="button" class="in" onClick={() => take(x)}>{name(x)}</button></li>)}</ul>;
}

function Similar(): JSX.Element {
  return (
    <section class="sim" aria-live="polite" data-testid="similar">
      <h3>{t('intake.similar')}</h3>
      {similar.value.length === 0 && <p class="d s">{t('intake.none')}</p>}
      {similar.value.map((s) => (
        <button type="button" class="in" key={s.one.code} onClick={() => { select(s.one.code); sheet.value = null; }}>
          <Mark level={s.one.level} /><span class="el"><b title={s.one.code}>{brief(s.one.code)}</b> {nameOf(s.one)} <span class="d">{say(s.one.where)}</span></span><span class="s d nw">{Number.isFinite(s.distance) ? `${metres(s.distance)} · ` : ''}{t('dup.text', s.text.toFixed(2))}</span>
        </button>
      ))}
    </section>
  );
}

const CHANNELS = ['12345', 'app', 'patrol', 'citycode', 'video'];
const OTHERS = ['110', '119', '120'];

export function Intake(): JSX.Element {
  const f = form.value;
  useEffect(() => { const text = f.address.trim(); const timer = setTimeout(() => { if (text && text !== place.peek()?.name) void findPlaces(text); else places.value = []; }, 150); return () => clearTimeout(timer); }, [f.address]);
  useEffect(() => { const text = f.category.trim(); const timer = setTimeout(() => { if (text && text !== say(kind.peek()?.title)) void findKinds(text); else kinds.value = []; }, 150); return () => clearTimeout(timer); }, [f.category]);
  useCaller(f.caller);
  useEffect(() => { pinning.value = true; return () => { pinning.value = false; }; }, []);
  return (
    <Over label={t('intake')} close={() => (sheet.value = null)} wide testid="intake">
      <form class="itk" onSubmit={(e) => { e.preventDefault(); void submit(); }}>
        <div class="flds">
          <label>{t('intake.words')}<textarea data-first rows={4} required maxLength={1300} value={f.words} onInput={(e) => put({ words: e.currentTarget.value })} /></label>
          <div class="pr">
            <label>{t('intake.category')}<input value={f.category} onInput={(e) => { put({ category: e.currentTarget.value }); kind.value = null; }} placeholder={t('intake.categoryHint')} autocomplete="off" aria-invalid={!kind.value} /><Choice list={kinds.value} name={(k) => `${say(k.title)} ${k.code}`} take={(k) => { kind.value = k; kinds.value = []; put({ category: say(k.title) }); }} /></label>
            <label>{t('intake.channel')}<select value={f.channel} onChange={(e) => put({ channel: e.currentTarget.value })}>{CHANNELS.map((c) => <option key={c} value={c}>{word('channel', c)}</option>)}</select></label>
          </div>
          <label>{t('intake.address')}<input value={f.address} onInput={(e) => { put({ address: e.currentTarget.value }); place.value = null; }} placeholder={t('intake.addressHint')} autocomplete="off" /><Choice list={places.value} name={(p) => `${p.name} ${p.code}`} take={choose} /></label>
          <Pin />
          <div class="pr">
            <label>{t('intake.caller')}<input value={f.caller} onInput={(e) => put({ caller: e.currentTarget.value })} autocomplete="off" inputMode="tel" /></label>
            <label class="ck"><input type="checkbox" checked={f.confidential} onChange={(e) => put({ confidential: e.currentTarget.checked })} /> {t('intake.confidential')}</label>
          </div>
          <div class="pr">
            <label>{t('intake.backfill')}<input type="datetime-local" value={f.backfill} onInput={(e) => put({ backfill: e.currentTarget.value })} lang={lang.value} /></label>
            <label>{t('intake.transfer')}<select value={f.transfer} onChange={(e) => put({ transfer: e.currentTarget.value })}><option value="">{t('intake.toNobody')}</option>{OTHERS.map((o) => <option key={o} value={o}>{word('emergency', o)}</option>)}</select></label>
          </div>
          {f.transfer && <label>{t('intake.receipt')}<input value={f.receipt} required onInput={(e) => put({ receipt: e.currentTarget.value })} /></label>}
          {trouble.value && <p role="alert"><b>{trouble.value}</b></p>}
          <div class="ac"><button class="btn pri" disabled={sending.value}>{t(sending.value ? 'desk.sending' : 'intake.submit')}</button><button type="button" class="btn" onClick={reset}>{t('intake.clear')}</button></div>
        </div>
        <div><Earlier caller={f.caller} /><Similar /></div>
      </form>
    </Over>
  );
}
