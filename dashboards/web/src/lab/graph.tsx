/** The lineage of an indicator as a small drawing: words in boxes, lines between them. */

import type { JSX } from 'preact';
import { say, t, word } from '../i18n';
import { Mark } from '../parts';
import { byId, choose } from '../store';
import type { Indicator } from '../types';
import { graphOf, heights, type Node } from './lineage';

/** Left edge and width of each column, in percent. */
const COLUMNS = [[0, 20], [27, 24], [58, 17], [81, 19]] as const;
/** Height of a row, rem. */
const ROW = 2.625;

function Box({ node, ind, y }: { node: Node; ind: Indicator; y: number }): JSX.Element {
  const [left, width] = COLUMNS[node.col];
  const style = { left: `${left}%`, width: `${width}%`, top: `${(y - 0.5) * ROW}rem` };
  const other = node.kind === 'read' || node.kind === 'reader' ? byId.value.get(node.label) : undefined;
  if (other) return <button class="nd in" style={style} onClick={() => choose(other.id, false)} title={other.id}><span class="el">{say(other.name) || other.id}</span><span class="s d el">{node.sub ? `${node.sub} · ` : ''}{t(node.kind === 'read' ? 'lab.reads' : 'lab.readBy')}</span></button>;
  if (node.kind === 'more') return <span class="nd s d" style={style}>{t('strip.more', node.n)}</span>;
  if (node.kind === 'alarm') return <span class="nd al1" style={style}><Mark level={node.level} size={0.75} /><span class="el">{ind.better === 'up' ? '<' : '≥'} {ind.of ? `${Number(node.label) * 100} %` : node.label}</span></span>;
  if (node.kind === 'self') return <span class="nd me" style={style}><b class="el">{say(ind.name) || ind.id}</b><span class="s d el">{ind.id}</span></span>;
  const sub = node.kind === 'event' ? (node.n > 1 ? t('lab.types', node.n) : word('event', node.label)) : node.kind === 'table' ? t('lab.table') : node.sub;
  return <span class="nd" style={style} title={`${node.label} ${node.sub}`}><span class="el">{node.label}</span>{sub !== node.label && sub && <span class="s d el">{sub}</span>}</span>;
}

/** `M right edge of a C .. left edge of b`, in percent of the width and rows of the height. */
function curve(a: Node, b: Node, y: Map<string, number>): string {
  const x0 = COLUMNS[a.col][0] + COLUMNS[a.col][1];
  const x1 = COLUMNS[b.col][0];
  const [y0, y1] = [y.get(a.key) ?? 0, y.get(b.key) ?? 0];
  const mid = (x0 + x1) / 2;
  return `M${x0} ${y0}C${mid} ${y0} ${mid} ${y1} ${x1} ${y1}`;
}

export function Lineage({ ind }: { ind: Indicator }): JSX.Element {
  const graph = graphOf(ind);
  const y = heights(graph);
  const at = new Map(graph.nodes.map((n) => [n.key, n]));
  const path = graph.edges.map(([a, b]) => { const [p, q] = [at.get(a), at.get(b)]; return p && q ? curve(p, q, y) : ''; }).join('');
  return (
    <div class="lin" data-testid="lineage">
      <div class="lc s d" aria-hidden="true">{(['lab.events', 'lab.aggregates', 'lab.indicator', 'lab.alarms'] as const).map((key, i) => <span key={key} style={{ left: `${COLUMNS[i as 0][0]}%` }}>{t(key)}</span>)}</div>
      <div class="lb" style={{ height: `${graph.rows * ROW}rem` }}>
        <svg viewBox={`0 0 100 ${graph.rows}`} preserveAspectRatio="none" aria-hidden="true"><path d={path} vector-effect="non-scaling-stroke" /></svg>
        {graph.nodes.map((n) => <Box key={n.key} node={n} ind={ind} y={y.get(n.key) ?? 0} />)}
      </div>
    </div>
  );
}
