/** The two more columns of a wide wall: the chosen indicator in depth, and cases and sources in depth. */

import type { JSX } from 'preact';
import { Chart } from './chart';
import { age, countdown, num, stamp } from './format';
import { lang, say, t, word } from './i18n';
import { Figure, Mark, Spark, windowText, unit } from './parts';
import { board, casesRev, chosenIndicator, city, drill, effective, focus, frame, groups, harm, health, now, openCases, picked, placeName, placesIn, scopeName } from './store';
import { Row, trendOf, useRem } from './vitals';

/** Left of the map: 24 hours of the chosen indicator, its worst places, and all other cards. */
export function Depth(): JSX.Element {
  void frame.value;
  const [ref, rem] = useRem();
  const ind = chosenIndicator.value;
  const worst = ind ? placesIn(focus.value).map((row) => ({ row, c: board.cell(ind.id, row) })).sort((a, b) => harm(ind, b.c) - harm(ind, a.c)).slice(0, 12) : [];
  const rows = groups.value.flatMap((g) => g.vitals).slice(0, Math.max(0, Math.floor((rem - 12.5 - 18.5 - 1.625) / 2.21875)));
  return (
    <section class="col x1" data-testid="depth">
      <div ref={ref} style={{ height: '100%', overflow: 'hidden' }}>
        {ind && <><h2 class="gh"><b>{say(ind.name)}</b><span class="e">{scopeName(focus.value, lang.value)} · {windowText(ind.window)}</span></h2><Chart ind={ind} trend={trendOf(ind, focus.value)} height={10.5} /></>}
        {ind && <h2 class="gh"><b>{t('ind.worst', t('scope.district'))}</b><span class="e">{unit(ind.unit)}</span></h2>}
        {ind && <div style={{ display: 'grid', gridTemplateColumns: '1fr 1fr 1fr', columnGap: '1rem' }}>
          {worst.map(({ row, c }) => (
            <button class="in" key={row} style={{ height: '4.125rem', paddingTop: '.25rem', minWidth: 0 }} onClick={() => drill(row)}>
              <span class="s m" style={{ display: 'flex', justifyContent: 'space-between' }}><span class="el">{scopeName(row, lang.value)}</span><Mark level={effective(ind, c)} size={0.75} /></span>
              <span style={{ display: 'flex', justifyContent: 'space-between', alignItems: 'end' }}><span style={{ fontSize: 'var(--fs-20)', lineHeight: '1.75rem', fontWeight: effective(ind, c) ? 700 : 400 }}><Figure value={c.value} ind={ind} withUnit={false} /></span><Spark trend={trendOf(ind, row)} ind={ind} w={60} h={26} cell={c} /></span>
            </button>
          ))}
        </div>}
        <h2 class="gh"><b>{t('all')}</b><span class="e">{t('all.e', groups.value.reduce((n, g) => n + g.vitals.length, 0))}</span></h2>
        {rows.map((v) => <Row key={v.ind.id} v={v} />)}
      </div>
    </section>
  );
}

/** Right of the map: open cases by category, the next deadlines, sources, dead letters by reason. */
export function Desk(): JSX.Element {
  void casesRev.value;
  const at = now.value;
  const tz = city.value.timezone;
  const by = new Map<string, { n: number; late: number }>();
  for (const c of openCases.value) {
    const e = by.get(c.category) ?? { n: 0, late: 0 };
    by.set(c.category, { n: e.n + 1, late: e.late + (c.due > 0 && c.due < at ? 1 : 0) });
  }
  const cats = [...by].sort((a, b) => b[1].n - a[1].n).slice(0, 10);
  const most = Math.max(1, ...cats.map(([, e]) => e.n));
  const next = openCases.value.filter((c) => c.due > 0).sort((a, b) => a.due - b.due).slice(5, 15);
  const h = health.value;
  return (
    <section class="col x2" data-testid="desk">
      <h2 class="gh"><b>{t('cats.head')}</b><span class="e">{t('cats.e')}</span></h2>
      {cats.map(([name, e]) => <div class="fn" key={name} style={{ gridTemplateColumns: '8rem minmax(0,1fr) 3rem 4rem' }}><span class="m el">{word('category', name)}</span><span class="bar" style={{ width: `${(100 * e.n) / most}%` }}>{e.late > 0 && <i style={{ width: `${(100 * e.late) / e.n}%` }} />}</span><b class="r">{e.n}</b><span class={`s r${e.late ? '' : ' d'}`}>{e.late ? t('cases.overdue', e.late) : '—'}</span></div>)}
      <h2 class="gh"><b>{t('cases.worst')}</b><span class="e">{t('cases.worstE')}</span></h2>
      {next.map((c) => <button class="sl in" key={c.id} onClick={() => (picked.value = { type: 'case', id: c.id })}><span><Mark level={c.level} /></span><b class="el">{c.id}</b><span class="m el">{say(c.title) || word('category', c.category)} {placeName(c.scope, lang.value)}</span><span class="r nw"><span class={c.due < at ? 'od' : ''}>{countdown(c.due - at, lang.value)}</span></span></button>)}
      <h2 class="gh"><b>{t('sources.head')}</b><span class="e">{t('sources.e')}</span></h2>
      {h.sources.slice(0, 10).map((s) => <div class="dq" key={s.name}><span class="el m">{s.name}</span><span class="s d">{stamp(s.last, at, tz)}</span>{s.stale ? <i class="tag dot">{t('data.silent', age(at - s.last))}</i> : <span class="s d">{age(at - s.last)}</span>}</div>)}
      <h2 class="gh"><b>{t('reasons.head')}</b><span class="e">{num(h.deadTotal, 0)}</span></h2>
      {[...h.dead].sort((a, b) => b[1] - a[1]).slice(0, 8).map(([why, n]) => <div class="dq" key={why}><span class="m">{word('reason', why)}</span><span /><b>{num(n, 0)}</b></div>)}
    </section>
  );
}
