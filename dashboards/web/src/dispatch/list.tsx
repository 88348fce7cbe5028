/** The queue: cases by the time that is left, only the rows that are seen; above it alarms of I and II that nobody has acknowledged. */

import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { countdown, hms } from '../format';
import { lang, say, t, word } from '../i18n';
import { Mark } from '../parts';
import { placeName, rowOf, scopeName } from '../store';
import { acknowledge, goTo, next, sheet } from './act';
import { titled, type Group } from './alarms';
import { brief } from './grammar';
import type { Case } from './nouns';
import { bearing, deadline, lead, pressure, standing, used, windowed } from './queue';
import { grouping } from './told';
import { groups, queue, second, select, selected, turnOf, unitNow, zone } from './store';

export const nameOf = (c: Pick<Case, 'title' | 'category'>): string => say(c.title) || word('category', c.category);

/** District and street, as told, or of its scope. */
export const whereOf = (c: Pick<Case, 'where' | 'scope'>): string => say(c.where) || (Number.isFinite(c.scope) ? placeName(c.scope, lang.value).replace('·', ' ') : '');

/** `U5 到场`, or what the case waits for. */
function stateOf(c: Case): string {
  const unit = lead(c);
  return unit && ['dispatched', 'received', 'arrived'].includes(c.state) ? `${unit.unit} ${word('ustate', bearing(unit, c, unitNow(unit.unit)?.state, second.value))}` : word('await', c.state);
}

/** The districts that help with it, by name. */
export const lentTo = (c: Pick<Case, 'lent'>): string => (c.lent.length ? t('case.lent', c.lent.map((code) => { const row = rowOf(code); return row < 0 ? code : scopeName(row, lang.value); }).join(' ')) : '');

/** The time that is left, inverse once it is over. */
export function Left({ c, big = false }: { c: Case; big?: boolean }): JSX.Element {
  const left = deadline(c) - second.value;
  const text = Number.isFinite(left) ? countdown(left, lang.value) : '—';
  return big ? <b class={left < 0 ? 'inv' : ''} data-testid="left">{text}</b> : <span class={left < 0 ? 'tl2 od' : 'tl2'}>{text}</span>;
}

function Row({ c, at, cut }: { c: Case; at: number; cut: boolean }): JSX.Element {
  const share = used(c, second.value);
  const chosen = selected.value === c.code;
  return (
    <div id={`q-${c.code}`} class={`qr${chosen ? ' sel' : ''}${cut ? ' cut' : ''}`} role="option" aria-selected={chosen} aria-posinset={at + 1} aria-setsize={queue.value.length} onClick={() => select(c.code)} data-code={c.code}>
      <span><Mark level={c.level} /></span>
      <span class={brief(c.code).length > 10 ? 'id lg' : 'id'} title={c.code}>{brief(c.code)}</span>
      <span>{c.drill && <i class="tag">{t('desk.drill')}</i>} {nameOf(c)} {c.lent.length > 0 && <i class="tag" title={lentTo(c)}>{t('case.lentShort')}</i>}</span>
      <span class="m">{whereOf(c)}</span>
      <span class="r m">{countdown(Math.max(0, second.value - c.reported), lang.value)}</span>
      <span class={`sla ${pressure(c, second.value)}`}><i style={{ width: `${100 * (Number.isFinite(share) ? share : 0)}%` }} /></span>
      <Left c={c} />
      <span class={c.units.length && standing(c, second.value) === c.state ? 'm' : ''}>{stateOf(c)}</span>
    </div>
  );
}

/** Groups of the highest levels that nobody has acknowledged: two at most, the rest is a key away. */
function Urgent({ list }: { list: Group[] }): JSX.Element | null {
  if (list.length === 0) return null;
  return (
    <div class="urg" role="alert" data-testid="urgent">
      {list.slice(0, 2).map((g, i) => (
        <div class={`ua l${g.priority}w`} key={g.key} data-alarm={g.first.code}>
          <Mark level={g.priority} /><b class="el">{g.rest ? t('alarms.rest') : say(titled(g.first))}</b>
          {g.members.length > 1 && <i class="tag">{t('alarms.group', g.members.length)}</i>}
          <span class="s d el gp">{grouping(g)}</span>
          <span class="s d nw">{hms(g.first.since, zone.value)}</span>
          {g.first.case && <button class="btn" onClick={() => goTo(g.first)}>{brief(g.first.case)}{i === 0 && <> <kbd>J</kbd></>}</button>}
          <button class="btn pri" onClick={() => acknowledge(g.members)}>{t('alarms.ack')}{g === next.value && <> <kbd>A</kbd></>}</button>
        </div>
      ))}
      {list.length > 2 && <button class="more s d" onClick={() => (sheet.value = 'alarms')}>{t('alarms.more', list.length - 2)} <kbd>W</kbd></button>}
    </div>
  );
}

export function Queue(): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const size = useSignal({ height: 600, row: 33 });
  const list = queue.value;
  const at = list.findIndex((c) => c.code === selected.value);
  useLayoutEffect(() => {
    const node = box.current;
    if (!node) return undefined;
    const measure = (): void => { size.value = { height: node.clientHeight, row: parseFloat(getComputedStyle(node).getPropertyValue('--row-px')) || 33 }; };
    const watch = new ResizeObserver(measure);
    watch.observe(node);
    measure();
    return () => watch.disconnect();
  }, []);
  const { height, row } = size.value;
  // the chosen row is kept in sight when the choice moves, not when the queue does
  useLayoutEffect(() => {
    const node = box.current;
    if (!node || at < 0) return;
    if (at * row < node.scrollTop) node.scrollTop = at * row;
    else if ((at + 1) * row > node.scrollTop + node.clientHeight) node.scrollTop = (at + 1) * row - node.clientHeight;
  }, [selected.value, row]);
  const { from, to } = windowed(list.length, top.value, height, row);
  const late = list.filter((c) => deadline(c) < second.value).length;
  const waiting = list.filter((c) => c.state === 'filed' || c.state === 'returned').length;
  return (
    <section class="q" aria-label={t('queue')}>
      <div class="gh"><b>{t('queue')}</b><span class="d s">{t('queue.order')}</span><span class="e" data-testid="queue-sum">{t('queue.sum', list.length)} · {t('queue.late')} <b>{late}</b> · {t('queue.waiting', waiting)}</span></div>
      <Urgent list={groups.value.filter((g) => g.unacked > 0 && (g.priority === 1 || g.priority === 2))} />
      <div class="qr hdr" aria-hidden="true"><span>{t('queue.level')}</span><span>{t('queue.case')}</span><span>{t('queue.type')}</span><span>{t('queue.where')}</span><span class="r">{t('queue.age')}</span><span>{t('queue.used')}</span><span class="r">{t('queue.left')}</span><span>{t('queue.state')}</span></div>
      <div ref={box} id="desk-queue" class="ql" role="listbox" tabIndex={0} aria-label={t('queue')} aria-activedescendant={at >= 0 ? `q-${selected.value}` : undefined} onScroll={(e) => (top.value = e.currentTarget.scrollTop)} data-testid="queue">
        {list.length === 0 && <p class="none s">{t('cases.none')}</p>}
        <div style={{ height: `${from * row}px` }} />
        {list.slice(from, to).map((c, i) => <Row key={c.code} c={c} at={from + i} cut={from + i > 0 && turnOf(c) !== turnOf(list[from + i - 1] as Case)} />)}
        <div style={{ height: `${(list.length - to) * row}px` }} />
      </div>
    </section>
  );
}
