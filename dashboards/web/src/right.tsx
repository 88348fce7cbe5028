/** The right column: what is out of band now, cases with their stages and deadlines, data quality. */

import type { JSX } from 'preact';
import { AlarmList } from './alarmlist';
import { alarming } from './dispatch/store';
import { age, countdown, hms, num, stamp } from './format';
import { lang, say, t, word } from './i18n';
import { listed } from './level';
import { Mark, unit } from './parts';
import { casesRev, choose, city, drill, firstSeen, health, now, notices, openCases, picked, placeName, scopeName, type Notice } from './store';
import { useRem } from './vitals';
import type { Case, Level } from './types';

/** `≥ 27` or `< 90`: the edge that was crossed. */
function crossed(n: Notice, level: Level): string {
  const edge = listed(n.ind.bands).find((e) => e.level === level)?.edge;
  if (edge === undefined) return '';
  const sign = n.ind.better === 'up' ? '<' : '≥';
  return n.ind.of ? `${sign} ${num(edge * 100, 0)} % ${t('ind.of', n.ind.of)}` : `${sign} ${num(edge, Number.isInteger(edge) ? 0 : n.ind.decimals)}`;
}

function NoticeRow({ n }: { n: Notice }): JSX.Element | null {
  const first = n.rows[0];
  if (!first) return null;
  const others = n.rows.filter((r) => r.row !== 0).length;
  const start = Math.min(...n.rows.map((r) => firstSeen(n.ind.id, r.row) || Infinity));
  const open = (): void => { drill(first.row === 0 ? 0 : first.row); choose(n.ind.id); };
  return (
    <button class="al in" onClick={open} data-testid="notice">
      <span><Mark level={n.level} /></span>
      <span class="el">
        <span class="h el">{say(n.ind.name)} {others > 1 && <i class="tag">{t('notices.group', others, t('scope.district'))}</i>}</span>
        <span class="w el">{n.rows.slice(0, 1).map((r) => <span key={r.row}>{scopeName(r.row, lang.value)} · <b>{num(r.value, n.ind.decimals)} {unit(n.ind.unit)}</b> {crossed(n, r.level)}</span>)}
          {n.rows.slice(1, 3).map((r) => <span key={r.row}> · {scopeName(r.row, lang.value)} {num(r.value, n.ind.decimals)}</span>)}</span>
      </span>
      <span><span class="tm">{hms(first.at, city.value.timezone)}</span><span class="st">{Number.isFinite(start) ? t('notices.since', hms(start, city.value.timezone)) : word('theme', n.ind.theme)}</span></span>
    </button>
  );
}

const NOTICE = 3.0625;

function Notices(): JSX.Element {
  const [ref, rem] = useRem();
  const list = notices.value;
  const all = Math.max(0, Math.floor(rem / NOTICE));
  const room = list.length > all ? Math.max(0, Math.floor((rem - 1.5) / NOTICE)) : all;
  return (
    <>
      <h2 class="gh"><b>{t('notices')}</b><span class="e">{t('notices.e')}</span></h2>
      <div ref={ref} class="grow" aria-live="polite" data-testid="notices">
        {list.length === 0 && <p class="none s">{t('notices.none')}</p>}
        {list.slice(0, room).map((n) => <NoticeRow key={n.ind.id} n={n} />)}
        {list.length > room && <p class="foot"><span>{t('notices.more', list.length - room)}</span></p>}
      </div>
    </>
  );
}

const STAGES: [string, string[]][] = [
  ['reported', ['reported', 'reopened']], ['accepted', ['accepted', 'returned']], ['filed', ['filed', 'escalated']],
  ['dispatched', ['dispatched']], ['received', ['received', 'arrived', 'deferred', 'extended']], ['handled', ['handled']], ['verified', ['verified']],
];

function overdue(list: Case[], at: number): number {
  return list.filter((c) => c.due > 0 && c.due < at).length;
}

function Funnel({ list }: { list: Case[] }): JSX.Element {
  const at = now.value;
  const stages = STAGES.map(([name, set]) => ({ name, here: list.filter((c) => set.includes(c.stage)) }));
  const most = Math.max(1, ...stages.map((s) => s.here.length));
  return (
    <div data-testid="funnel">
      <div class="fn s d" style={{ height: '1.25rem' }}><span>{t('cases.stage')}</span><span>{t('cases.bar')}</span><span /><span /><span class="r">{t('cases.next')}</span></div>
      {stages.map(({ name, here }) => {
        const late = overdue(here, at);
        const next = Math.min(...here.filter((c) => c.due > at).map((c) => c.due));
        return (
          <div class="fn" key={name}>
            <span class="m el">{word('stage', name)}</span>
            <span class="bar" style={{ width: `${(100 * here.length) / most}%` }}>{late > 0 && <i style={{ width: `${(100 * late) / here.length}%` }} />}</span>
            <b class="r">{here.length}</b><span class={`s r${late ? '' : ' d'}`}>{late ? t('cases.overdue', late) : '—'}</span>
            <span class="s r d">{Number.isFinite(next) ? age(next - at) : '—'}</span>
          </div>
        );
      })}
    </div>
  );
}

function CaseRow({ c }: { c: Case }): JSX.Element {
  const left = c.due - now.value;
  return (
    <button class="sl in" onClick={() => (picked.value = { type: 'case', id: c.id })} data-testid="case">
      <span><Mark level={c.level} /></span><b class="el">{c.id}</b>
      <span class="m el">{say(c.title) || word('category', c.category)} {placeName(c.scope, lang.value)} <span class="d">{word('stage', c.stage)}</span></span>
      <span class="r nw"><span class={left < 0 ? 'od' : ''}>{countdown(left, lang.value)}</span></span>
    </button>
  );
}

function Cases(): JSX.Element {
  void casesRev.value;
  const list = openCases.value;
  const worst = list.filter((c) => c.due > 0).sort((a, b) => a.due - b.due || a.id.localeCompare(b.id)).slice(0, 5);
  return (
    <>
      <h2 class="gh"><b>{t('cases')}</b><span class="e" data-testid="cases">{t('cases.e', num(list.length, 0), num(overdue(list, now.value), 0))}</span></h2>
      <Funnel list={list} />
      <h2 class="gh"><b>{t('cases.worst')}</b><span class="e">{t('cases.worstE')}</span></h2>
      {worst.length === 0 && <p class="none s">{t('cases.none')}</p>}
      {worst.map((c) => <CaseRow key={c.id} c={c} />)}
    </>
  );
}

/** Dead letters by reason, silent sources. */
export function Quality({ rows = 3 }: { rows?: number }): JSX.Element {
  const h = health.value;
  const silent = h.sources.filter((s) => s.stale);
  const top = [...h.dead].sort((a, b) => b[1] - a[1]);
  return (
    <div data-testid="quality" style={{ flex: 'none' }}>
      <h2 class="gh"><b>{t('data')}</b><span class="e">{t('data.e', num(h.events, 0), num(h.rate, 0))}</span></h2>
      <div class="dq"><span class="el">{t('data.dead')} <span class="s d">{top.slice(0, 3).map(([why, n]) => `${word('reason', why)} ${n}`).join(' · ')}</span></span><span /><b class={h.deadTotal ? 'od' : ''} data-testid="dead">{num(h.deadTotal, 0)}</b></div>
      <div class="dq"><span>{t('data.sources')}</span><span class="s d">{h.sources.length - silent.length} / {h.sources.length}</span><b>{silent.length ? t('data.stale', silent.length) : <span class="m" style={{ fontWeight: 400 }}>{t('data.fresh')}</span>}</b></div>
      {silent.slice(0, rows - 1).map((s) => (
        <div class="dq s" key={s.name}><span class="el d">{s.name}</span><span class="d">{stamp(s.last, now.value, city.value.timezone)}</span><i class="tag dot">{t('data.silent', age(now.value - s.last))}</i></div>
      ))}
    </div>
  );
}

export function Right(): JSX.Element {
  return (
    <aside class="col cr">
      {alarming.value && <AlarmList />}
      <Notices />
      <Cases />
      <Quality />
    </aside>
  );
}
