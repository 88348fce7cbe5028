/** The way to and from an indicator as a small graph: events > aggregates > indicator > alarms and readers. Pure. */

import { listed } from '../level';
import type { Indicator, Level } from '../types';

export type Kind = 'event' | 'table' | 'aggregate' | 'read' | 'self' | 'alarm' | 'reader' | 'more';
export interface Node {
  key: string;
  col: 0 | 1 | 2 | 3;
  kind: Kind;
  label: string;
  sub: string;
  level: Level;
  /** How many are left out, for `more`; how many types an event node stands for. */
  n: number;
}
export interface Graph { nodes: Node[]; edges: [string, string][]; rows: number }

/** Nodes shown per column; what is beyond is one node that says how many. */
export const MOST = 7;

const node = (key: string, col: Node['col'], kind: Kind, label: string, sub = '', level: Level = 0): Node => ({ key, col, kind, label, sub, level, n: 0 });

/** Whether an event type feeds a parameter: `case.closed` feeds tables of that name and of its family. */
export function feeds(event: string, table: string): boolean {
  const [type = ''] = event.split(/[\s:(]/);
  return type === table || type.startsWith(`${table}.`) || table.startsWith(`${type}.`);
}

/** A column cut to MOST nodes, and where the edges of those left out go. */
function cut(nodes: Node[], col: Node['col'], into: Map<string, string>): Node[] {
  if (nodes.length <= MOST) return nodes;
  const key = `more${col}`;
  for (const n of nodes.slice(MOST - 1)) into.set(n.key, key);
  return [...nodes.slice(0, MOST - 1), { ...node(key, col, 'more', ''), n: nodes.length - MOST + 1 }];
}

interface Middle { nodes: Node[]; table: Map<string, string> }

/** Aggregates and other indicators that the formula reads. */
function middle(ind: Indicator): Middle {
  const found = ind.parameters.map((p) => node(`p:${p.name}`, 1, p.kind === 'ind' ? 'read' : 'aggregate', p.kind === 'ind' ? p.table : p.name, p.kind === 'ind' ? p.name : `${p.kind}(${p.table})`));
  const table = new Map(ind.parameters.filter((p) => p.kind !== 'ind').map((p) => [`p:${p.name}`, p.table]));
  // a class form may name its aggregates only here
  if (table.size === 0) ind.lineage.aggregates.filter((text) => !text.startsWith('ind(')).forEach((text, i) => { found.push(node(`a:${i}`, 1, 'aggregate', text)); table.set(`a:${i}`, /\(['"]?([\w.]+)/.exec(text)?.[1] ?? ''); });
  const read = new Set(ind.parameters.filter((p) => p.kind === 'ind').map((p) => p.table));
  for (const id of ind.lineage.reads) if (!read.has(id)) found.push(node(`r:${id}`, 1, 'read', id));
  return { nodes: found, table };
}

/** Event types; where there are too many to be drawn, those of one family as one. */
function families(events: string[]): [string, number][] {
  if (events.length <= MOST) return events.map((e) => [e, 1]);
  const by = new Map<string, string[]>();
  for (const e of events) by.set(e.split('.')[0] ?? e, [...(by.get(e.split('.')[0] ?? e) ?? []), e]);
  return [...by].map(([family, list]) => (list.length > 1 ? [`${family}.*`, list.length] : [list[0] ?? family, 1]));
}

export function graphOf(ind: Indicator): Graph {
  const { nodes: mid, table } = middle(ind);
  const types = families(ind.lineage.events);
  const left = types.map(([e, n]) => ({ ...node(`e:${e}`, 0, 'event', e), n }));
  const edges: [string, string][] = [];
  for (const [key, name] of table) {
    const from = types.filter(([e]) => name && feeds(e, name));
    for (const [e] of from) edges.push([`e:${e}`, key]);
    if (from.length || !name) continue;
    if (!left.some((n) => n.key === `t:${name}`)) left.push(node(`t:${name}`, 0, 'table', name));
    edges.push([`t:${name}`, key]);
  }
  for (const [e] of types) if (!edges.some(([from]) => from === `e:${e}`)) edges.push([`e:${e}`, 'self']);
  for (const m of mid) edges.push([m.key, 'self']);
  const alarms = listed(ind.bands).map(({ edge, level }) => node(`l:${level}`, 3, 'alarm', String(edge), '', level)).reverse();
  const readers = ind.lineage.readBy.map((id) => node(`b:${id}`, 3, 'reader', id));
  for (const n of [...alarms, ...readers]) edges.push(['self', n.key]);
  const into = new Map<string, string>();
  const columns = [cut(left, 0, into), cut(mid, 1, into), [node('self', 2, 'self', ind.id)], cut([...alarms, ...readers], 3, into)];
  const moved = edges.map(([a, b]): [string, string] => [into.get(a) ?? a, into.get(b) ?? b]);
  const kept = [...new Map(moved.map((e) => [e.join('\n'), e])).values()];
  return { nodes: columns.flat(), edges: kept, rows: Math.max(1, ...columns.map((c) => c.length)) };
}

/** Middle of each node from the top, in rows, its column centred. */
export function heights(graph: Graph): Map<string, number> {
  const out = new Map<string, number>();
  for (let col = 0; col < 4; col++) {
    const column = graph.nodes.filter((n) => n.col === col);
    column.forEach((n, i) => out.set(n.key, (graph.rows - column.length) / 2 + i + 0.5));
  }
  return out;
}
