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
import { sections, type Line, type Section } from './hand';
import { Over } from './parts';
import { may, me, second, select, zone } from './store';

const page = signal<{ shift: string; by: string; at: number; sections: Section[]; handed: string; taken: string } | null>(null);
const trouble = signal('');
const remark = signal('');

const text = (v: unknown): string => (typeof v === 'string' ? v : '');

async function load(): Promise<void> {
  try {
    const told = await read<Item>('/api/v1/handover');
    page.value = { shift: text(told.shift) || text(told.code), by: text(told.by), at: typeof told.at === 'number' ? told.at : NaN, sections: sections(told), handed: text(told.handed_by), taken: text(told.taken_by) };
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
      {line.code ? <button class="lk" onClick={() => { select(line.code); sheet.value = null; }}>{line.code}</button> : <span />}
      <span class="el">{say(line.title)} <span class="m">{line.words}</span></span>
      <span class="s d nw">{line.who}</span>
      <span class="r nw">{Number.isFinite(left) ? <span class={left < 0 ? 'od' : ''}>{countdown(left, lang.value)}</span> : Number.isFinite(line.at) ? stamp(line.at, second.value, zone.value) : ''}</span>
    </li>
  );
}

async function sign(op: 'shift.handed' | 'shift.taken'): Promise<void> {
  const at = page.peek();
  if (!at) return;
  const one = { op, subject: at.shift, fields: remark.peek().trim() ? { reason: remark.peek().trim() } : {} };
  if (await perform([one], () => told(one))) { remark.value = ''; await load(); }
}

export function Handover(): JSX.Element {
  useEffect(() => { void load(); }, []);
  const at = page.value;
  const who = me.value !== null && me.value !== 'out' ? me.value.name || me.value.user : '';
  return (
    <Over label={`${t('handover')} ${at?.shift ?? ''}`} close={() => (sheet.value = null)} wide testid="handover">
      <div class="hand">
        {trouble.value && <p role="alert"><b>{trouble.value}</b> <button class="btn" onClick={() => void load()}>{t('why.again')}</button></p>}
        {at?.sections.map((s) => (
          <section key={s.name}>
            <div class="gh"><b>{word('hand', s.name)}</b><span class="e">{s.lines.length || s.value}</span></div>
            {s.lines.length === 0 && !s.value && <p class="d s">{t('handover.none')}</p>}
            <ul>{s.lines.map((line, i) => <One key={i} line={line} />)}</ul>
          </section>
        ))}
        {at && (
          <footer class="sg">
            <label>{t('handover.remark')}<textarea rows={2} value={remark.value} onInput={(e) => (remark.value = e.currentTarget.value)} /></label>
            <div class="ac">
              <button class="btn pri" disabled={!may('shift.handed') || at.handed !== ''} onClick={() => void sign('shift.handed')}>{at.handed ? t('handover.handedBy', at.handed) : t('handover.hand', who)}</button>
              <button class="btn" disabled={!may('shift.taken') || at.taken !== ''} onClick={() => void sign('shift.taken')}>{at.taken ? t('handover.takenBy', at.taken) : t('handover.take', who)}</button>
            </div>
          </footer>
        )}
      </div>
    </Over>
  );
}
