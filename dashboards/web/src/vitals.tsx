/** The left column: city index, the worst theme as tiles, then the worst rows of every other theme. */

import type { JSX } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { num } from './format';
import { lang, say, t, word } from './i18n';
import { edges } from './level';
import { asOf, Figure, look, Mark, QualityTag, Spark, trendText, unit } from './parts';
import { byId, choose, chosen, focus, frame, groups, indicators, panel, scopeName, cellFor, effective, trends, type Vital } from './store';
import { wantTrend } from './link';
import { fit } from './room';
import { Quality, type Indicator, type Level, type Trend } from './types';

export function trendOf(ind: Indicator, row: number): Trend | undefined {
  wantTrend(ind.id, row);
  return trends.value.get(`${ind.id}/${row}`);
}

const label = (v: Vital): string => `${say(v.ind.name)} ${num(v.cell.value, v.ind.decimals)} ${v.ind.unit}`;

/** As-of, quality and, when the value is another scope's, whose it is. */
function Under({ v, trend }: { v: Vital; trend: Trend | undefined }): JSX.Element {
  const other = v.cell.row !== focus.value;
  const change = v.cell.quality >= 3 ? '' : trendText(trend, v.ind);
  const open = v.cell.quality === Quality.PROVISIONAL || v.cell.quality === Quality.NODATA;
  const before = open && Number.isFinite(v.cell.closed) ? ` · ${t('closed', num(v.cell.closed, v.ind.decimals))}` : '';
  return (
    <>
      <QualityTag cell={v.cell} ind={v.ind} />
      <span class="el">{other ? `${scopeName(v.cell.row, lang.value)} · ` : ''}{asOf(v.cell, v.ind)}{before || (change && v.cell.quality < 2 ? ` · ${change}` : '')}</span>
    </>
  );
}

export function Row({ v }: { v: Vital }): JSX.Element {
  const trend = trendOf(v.ind, v.cell.row);
  return (
    <button class={`row in ${look(v.cell, v.level)}${chosen.value === v.ind.id ? ' on1' : ''}`} onClick={() => choose(v.ind.id)} aria-label={label(v)} data-indicator={v.ind.id}>
      <span><Mark level={v.level} /></span>
      <span class="el"><span class="nm el">{say(v.ind.name)}</span><span class="sb"><Under v={v} trend={trend} /></span></span>
      <Spark trend={trend} ind={v.ind} w={68} h={22} cell={v.cell} />
      <span class="v" data-testid="value"><Figure value={v.cell.value} ind={v.ind} withUnit={false} /></span>
      <span class="un1">{unit(v.ind.unit)}</span>
    </button>
  );
}

function Tile({ v }: { v: Vital }): JSX.Element {
  const trend = trendOf(v.ind, v.cell.row);
  return (
    <button class={`tile in ${look(v.cell, v.level)}${chosen.value === v.ind.id ? ' on1' : ''}`} onClick={() => choose(v.ind.id)} aria-label={label(v)} data-indicator={v.ind.id}>
      <span class="n"><span class="el">{say(v.ind.name)}</span><Mark level={v.level} /></span>
      <span class="v" data-testid="value"><Figure value={v.cell.value} ind={v.ind} /></span>
      <span class="sub"><Under v={v} trend={trend} /></span>
      <Spark trend={trend} ind={v.ind} w={64} h={34} cell={v.cell} />
    </button>
  );
}

/** The city index: the largest figure, its series, and where it stands between its bands. */
function Hero({ ind }: { ind: Indicator }): JSX.Element {
  void frame.value;
  const cell = cellFor(ind, focus.value);
  const level = effective(ind, cell);
  const trend = trendOf(ind, cell.row);
  const list = edges(ind).map((e) => e.edge).sort((a, b) => a - b);
  const [red = 60, yellow = 75] = list;
  return (
    <button class={`hero in ${look(cell, level)}`} onClick={() => choose(ind.id)} data-indicator={ind.id} aria-label={`${say(ind.name)} ${num(cell.value, ind.decimals)}`}>
      <span>
        <span class="m" style={{ display: 'block', lineHeight: '1.125rem' }}>{say(ind.name)}</span>
        <span class="big"><span data-testid="index"><Figure value={cell.value} ind={ind} withUnit={false} /></span><Mark level={level} size={1} /></span>
        <span class="s d nw" style={{ display: 'flex', gap: '.375rem', alignItems: 'center' }}><Under v={{ ind, cell, level }} trend={trend} /></span>
      </span>
      <span>
        <Spark trend={trend} ind={ind} w={190} h={38} cell={cell} />
        <span class="bandbar" style={{ display: 'block' }}>
          <i class="w" style={{ left: `${red}%`, width: `${yellow - red}%` }} /><i class="ok" style={{ left: `${yellow}%`, right: 0 }} />
          {Number.isFinite(cell.value) && <i class="n" style={{ left: `${Math.max(0, Math.min(100, cell.value))}%` }} />}
        </span>
        <span class="bandlab" style={{ display: 'block' }}>
          <span style={{ left: 0, transform: 'none' }}>0</span><span style={{ left: `${red}%` }}>{red}</span><span style={{ left: `${yellow}%` }}>{yellow}</span><span style={{ left: 'auto', right: 0, transform: 'none' }}>100</span>
        </span>
      </span>
    </button>
  );
}

/** `38 分 · `: the theme's score here, where the city has one. */
function scoreOf(theme: string): string {
  const ind = byId.value.get(`theme_score.${theme}`);
  const cell = ind && cellFor(ind, focus.value);
  return cell && Number.isFinite(cell.value) ? `${t('score', num(cell.value, 0))} · ` : '';
}

/** Height in rem of the element, kept up with its size. */
export function useRem(): [{ current: HTMLDivElement | null }, number] {
  const ref = useRef<HTMLDivElement>(null);
  const [rem, setRem] = useState(40);
  useLayoutEffect(() => {
    const node = ref.current;
    if (!node) return undefined;
    const measure = (): void => setRem(node.clientHeight / parseFloat(getComputedStyle(document.documentElement).fontSize));
    const watch = new ResizeObserver(measure);
    watch.observe(node);
    measure();
    return () => watch.disconnect();
  }, []);
  return [ref, rem];
}

/** Themes that there is no room for: by name, with their worst level and how many of theirs are out of band. */
function Others({ themes, left }: { themes: typeof groups.value; left: number }): JSX.Element {
  return (
    <div class="grp" data-testid="others">
      <button class="gh in" onClick={() => (panel.value = 'all')}><b>{t('themes.other')}</b><span class="e">{left > 0 ? t('strip.more', left) : t('themes.e')}</span></button>
      <div class="oth">
        {themes.map((g) => {
          const worst = g.vitals.reduce<Level>((a, v) => (v.level && (!a || v.level < a) ? v.level : a), 0);
          return (
            <button class="in" key={g.theme} onClick={() => (panel.value = 'all')}>
              <span class="el m">{word('theme', g.theme)}</span><Mark level={worst} size={0.75} /><span class="s d r">{g.bad > 0 ? `${g.bad} / ` : ''}{g.vitals.length}</span>
            </button>
          );
        })}
      </div>
    </div>
  );
}

export function Vitals(): JSX.Element {
  const [ref, rem] = useRem();
  const index = indicators.value.find((i) => i.id === 'city_health_index') ?? indicators.value.find((i) => i.theme === 'composite');
  const lead = groups.value.find((g) => g.vitals.length > 1) ?? groups.value[0];
  const tiles = lead?.vitals.slice(0, lead.vitals.length > 3 ? 4 : 2) ?? [];
  // what the tiles leave of their theme follows as rows, like every other theme
  const rest = groups.value.map((g) => (g === lead ? { ...g, vitals: g.vitals.slice(tiles.length), bad: Math.max(0, g.bad - tiles.length) } : g)).filter((g) => g.vitals.length > 0).sort((a, b) => Number(b.bad > 0) - Number(a.bad > 0));
  const used = (index ? 6.6875 : 0) + (lead ? 1.625 + 0.375 + Math.ceil(tiles.length / 2) * 5.375 : 0);
  const { rows, named } = fit(rest.map((g) => ({ total: g.vitals.length, bad: g.bad })), rem - used);
  const open = rows.filter((n) => n > 0).length;
  return (
    <section class="col cl" aria-label={t('title')} data-testid="vitals">
      <div ref={ref} class="grow">
        {index && <Hero ind={index} />}
        {lead && (
          <>
            <button class="gh in" onClick={() => (panel.value = 'all')}><b>{word('theme', lead.theme)}</b><span class="e">{lead === groups.value[0] && lead.bad > 0 ? `${t('group.worst')} · ` : ''}{scoreOf(lead.theme)}{t('group', lead.vitals.length, lead.bad)}</span></button>
            <div class="lead">{tiles.map((v) => <Tile key={v.ind.id} v={v} />)}</div>
          </>
        )}
        {rest.map((g, i) => (rows[i] ?? 0) > 0 && (
          <div class="grp" key={g.theme}>
            <button class="gh in" onClick={() => (panel.value = 'all')}><b>{word('theme', g.theme)}</b><span class="e">{scoreOf(g.theme)}{t('group', g.vitals.length, g.bad)}</span></button>
            {g.vitals.slice(0, rows[i]).map((v) => <Row key={v.ind.id} v={v} />)}
          </div>
        ))}
        {named > 0 && <Others themes={rest.slice(open, open + named)} left={rest.length - open - named} />}
      </div>
    </section>
  );
}

/** All indicators, by theme. */
export function Catalogue(): JSX.Element {
  return (
    <div class="sheet big" role="dialog" aria-label={t('all')}>
      <div class="cat">
        <div class="gh"><b>{t('all')}</b><span class="e">{t('all.e', indicators.value.length)}</span></div>
        <div class="cols" style={{ marginTop: '.5rem' }}>
          {groups.value.map((g) => (
            <div class="grp" key={g.theme}>
              <div class="gh"><b>{word('theme', g.theme)}</b><span class="e">{t('group', g.vitals.length, g.bad)}</span></div>
              {g.vitals.map((v) => <Row key={v.ind.id} v={v} />)}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}
