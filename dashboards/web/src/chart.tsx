/** The 24-hour chart of one indicator; uPlot is loaded when the first one is opened. */

import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { hm, num } from './format';
import { t } from './i18n';
import { edges } from './level';
import { city, theme } from './store';
import type { Indicator, Trend } from './types';

type Plot = import('uplot');

function token(name: string): string {
  const css = getComputedStyle(document.documentElement);
  const value = css.getPropertyValue(`--${name}`).trim();
  return value.startsWith('var(') ? token(value.slice(6, -1)) : value;
}

function dashed(plot: Plot, ind: Indicator): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.setLineDash([4, 4]);
  for (const { edge, level } of edges(ind)) {
    const y = plot.valToPos(edge, 'y', true);
    if (y < bbox.top || y > bbox.top + bbox.height) continue;
    ctx.strokeStyle = level <= 2 ? token('iso2') : token('iso3');
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}

/** Options of the plot: quiet axes, one line, band edges dashed. */
function options(ind: Indicator, width: number, height: number, rem: number): import('uplot').Options {
  const axis = { stroke: token('text-3'), font: `${0.75 * rem}px ${token('font') || 'sans-serif'}`, grid: { stroke: token('line'), width: 1 }, ticks: { show: false } };
  const tz = city.value.timezone;
  const edge = edges(ind).map((e) => e.edge);
  return {
    width, height, legend: { show: false }, cursor: { points: { size: 6 }, y: false },
    scales: { x: { time: false }, y: { range: (_u, lo, hi) => {
      const near = edge.filter((e) => e > lo - 2 * (hi - lo || 1) && e < hi + 2 * (hi - lo || 1));
      const a = Math.min(lo, ...near);
      const b = Math.max(hi, ...near);
      const pad = (b - a || Math.abs(b) || 1) * 0.08;
      return [a - pad, b + pad];
    } } },
    axes: [
      { ...axis, size: 1.5 * rem, values: (_u, ticks) => ticks.map((x) => hm(x, tz)), splits: (_u, _i, lo, hi) => { const step = 6 * 3_600_000; const out: number[] = []; for (let x = Math.ceil(lo / step) * step; x <= hi; x += step) out.push(x); return out; } },
      { ...axis, size: 3.25 * rem, values: (_u, ticks) => ticks.map((v) => num(v, Math.min(ind.decimals, Number.isInteger(v) ? 0 : 2))) },
    ],
    series: [{}, { stroke: token('series'), width: 1.5, points: { show: false }, spanGaps: false }],
    hooks: { draw: [(u) => dashed(u, ind)] },
  };
}

/** 24 hours of an indicator, redrawn when the series or the theme changes. */
export function Chart({ ind, trend, height = 9 }: { ind: Indicator; trend: Trend | undefined; height?: number }): JSX.Element {
  const node = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const look = theme.value;
  const known = (trend?.values.filter(Number.isFinite).length ?? 0) > 1;
  useEffect(() => {
    let gone = false;
    if (!known) return undefined;
    void Promise.all([import('uplot'), import('uplot/dist/uPlot.min.css')]).then(([{ default: UPlot }]) => {
      if (gone || !node.current) return;
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
      node.current.textContent = '';
      plot.current = new UPlot(options(ind, node.current.clientWidth, height * rem, rem), data(trend), node.current);
    });
    return () => { gone = true; plot.current?.destroy(); plot.current = null; };
  }, [ind.id, look, known]);
  useEffect(() => { if (trend) plot.current?.setData(data(trend)); }, [trend]);
  if (!known) return <p class="none s">{t('ind.trendNone')}</p>;
  return <div ref={node} style={{ height: `${height}rem` }} role="img" aria-label={t('ind.chart')} data-testid="chart" />;
}

function data(trend: Trend | undefined): [number[], (number | null)[]] {
  const values = trend?.values ?? [];
  return [values.map((_, i) => (trend?.end ?? 0) - (values.length - 1 - i) * (trend?.step ?? 1)), values.map((v) => (Number.isFinite(v) ? v : null))];
}
