/** The page that goes from one shift to the next: made by the server, signed by both. */

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { countdown, stamp } from '../format';
import { lang, say, t, word } from '../i18n';
import { Mark } from '../parts';
import { read } from '../reads';
import type { Item } from '../wire';
import { perform, sheet, told } from './act';
import { brief } from './grammar';
import { sections, type Line, type Section } from './hand';
import { Over } from './parts';
import { may, me, second, select, zone } from './store';

/** A shift that was handed over and waits for somebody to take it. */
interface Waiting { code: string; hash: string; by: string; at: number; text: string }
const page = signal<{ hash: string; at: number; sections: Section[] } | null>(null);
const shifts = signal<Waiting[]>([]);
const trouble = signal('');
const remark = signal('');

const text = (v: unknown): string => (typeof v === 'string' ? v : '');
const time = (v: unknown): number => (typeof v === 'number' ? v : NaN);

async function load(): Promise<void> {
  try {
    const [told, roster] = await Promise.all([read<Item>('/api/v1/handover'), read<{ items: Item[] }>('/api/v1/duty')]);
    page.value = { hash: text(told.hash), at: time(told.at), sections: sections(told) };
    shifts.value = roster.items.filter((d) => d.kind === 'shift' && !d.taken_at).map((d) => ({ code: text(d.code), hash: text(d.hash), by: text(d.handed_by), at: time(d.handed_at), text: text(d.text) }));
    trouble.value = '';
  } catch (error) {
    trouble.value = error instanceof Error ? error.message : '—';
  }
}

function One({ line }: { line: Line }): JSX.Element {
  const left = line.due - second.value;
  return (
    <li class="hl">
      <span><Mark level={line.level} /></span>
      {line.code ? <button class="lk" onClick={() => { select(line.code); sheet.value = null; }}>{brief(line.code)}</button> : <span />}
      <span class="el">{say(line.title)} <span class="m">{line.words}</span></span>
      <span class="s d nw">{line.who}</span>
      <span class="r nw">{Number.isFinite(left) ? <span class={left < 0 ? 'od' : ''}>{countdown(left, lang.value)}</span> : Number.isFinite(line.at) ? stamp(line.at, second.value, zone.value) : ''}</span>
    </li>
  );
}

/** Sign the page that is read, by its hash; a shift has a code of its own, made of the time of its page. */
async function sign(shift: Waiting | null): Promise<void> {
  const at = page.peek();
  if (!at) return;
  const words = remark.peek().trim() ? { text: remark.peek().trim() } : {};
  const one = shift ? { op: 'shift.taken', subject: shift.code, fields: { hash: shift.hash, ...words } } : { op: 'shift.handed', subject: `S-${at.at.toString(36)}`, fields: { hash: at.hash, ...words } };
  if (await perform([one], () => told(one))) remark.value = '';
  await load();
}

export function Handover(): JSX.Element {
  useEffect(() => { void load(); }, []);
  const at = page.value;
  const user = me.value !== null && me.value !== 'out' ? me.value.user : '';
  const who = me.value !== null && me.value !== 'out' ? me.value.name || user : '';
  return (
    <Over label={`${t('handover')} ${at ? stamp(at.at, second.value, zone.value) : ''}`} close={() => (sheet.value = null)} wide testid="handover">
      <div class="hand">
        {trouble.value && <p role="alert"><b>{trouble.value}</b> <button class="btn" onClick={() => void load()}>{t('why.again')}</button></p>}
        {at?.sections.map((s) => (
          <section key={s.name}>
            <div class="gh"><b>{word('hand', s.name)}</b><span class="e">{s.n}</span></div>
            {s.lines.length === 0 && <p class="d s">{t('handover.none')}</p>}
            <ul>{s.lines.map((line, i) => <One key={i} line={line} />)}</ul>
          </section>
        ))}
        {at && (
          <footer class="sg">
            <label>{t('handover.remark')}<textarea rows={2} value={remark.value} onInput={(e) => (remark.value = e.currentTarget.value)} /></label>
            <div class="ac">
              <button class="btn pri" disabled={!may('shift.handed')} onClick={() => void sign(null)}>{t('handover.hand', who)}</button>
              {shifts.value.map((w) => <button class="btn" key={w.code} disabled={!may('shift.taken') || w.by === user} title={w.text} onClick={() => void sign(w)}>{t(w.by === user ? 'handover.waits' : 'handover.take', w.by, stamp(w.at, second.value, zone.value))}</button>)}
            </div>
            <p class="s d">{t('handover.hash', at.hash.slice(0, 12))}</p>
          </footer>
        )}
      </div>
    </Over>
  );
}
