/** Reads over HTTP, with the token that the address gave. */

import type { EntityDetail } from './types';
import type { Item } from './wire';

export const token = new URLSearchParams(location.hash.slice(1)).get('token');
export const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};

/** Go to the page to sign in at, and come back; pages with a form of their own show it, and a token is not asked for a name. */
export function signIn(): void {
  if (token || /^\/(dispatch|unit)/.test(location.pathname)) return;
  location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
}

/** What the server says went wrong, else the code of its answer. */
async function said(answer: Response): Promise<string> {
  const problem = (await answer.json().catch(() => null)) as { detail?: unknown; title?: unknown } | null;
  return String(problem?.detail || problem?.title || `HTTP ${answer.status}`);
}

/** An answer that was none; `wait` ms: when the server says that it may be asked again, NaN = it does not say. */
export class Refused extends Error {
  constructor(words: string, readonly wait: number, readonly status = 0) {
    super(words);
  }
}

/** Read JSON; throws with the server's own words. */
export async function read<T>(url: string, signal?: AbortSignal): Promise<T> {
  const answer = await fetch(url, { headers, ...(signal ? { signal } : {}) });
  if (answer.status === 401) signIn();
  if (!answer.ok) throw new Refused(await said(answer), 1000 * Number(answer.headers.get('retry-after') ?? NaN), answer.status);
  return (await answer.json()) as T;
}

let layers: Promise<Set<string>> | null = null;

/** Names of the layers that this city has: one made of CSV alone has none, and that is no error. */
async function layerNames(): Promise<Set<string>> {
  layers ??= read<{ items: string[] }>('/api/v1/layers').then((found) => new Set(found.items));
  return layers.catch((error: unknown) => { layers = null; throw error; });
}

/** GeoJSON of a layer, empty where the city has none of that name. */
export async function layer(name: string): Promise<unknown> {
  if (!(await layerNames()).has(name)) return { type: 'FeatureCollection', features: [] };
  const data = await read<{ type: string; features: { id?: number; properties: Record<string, unknown> }[] }>(`/api/v1/layers/${name}`);
  for (const f of data.features) f.properties = { ...f.properties, row: f.properties.row ?? f.id };
  return data;
}

/** One search over places, entities and indicators. */
export async function search(text: string): Promise<Item[]> {
  return (await read<{ items: Item[] }>(`/api/v1/search?q=${encodeURIComponent(text)}&limit=30`)).items;
}

/** All that is known of an entity. */
export async function detail(kind: string, code: string, row: number): Promise<EntityDetail> {
  const { item } = await read<{ item: Item }>(`/api/v1/entities/${encodeURIComponent(kind)}/${encodeURIComponent(code)}`);
  const attrs = Object.entries((item.attributes ?? {}) as Item).filter(([, v]) => v !== null && v !== '').map(([k, v]): [string, string] => [k, String(v)]);
  const readings = ((item.readings ?? []) as Item[]).map((r) => ({ property: String(r.property), value: typeof r.value === 'number' ? r.value : NaN, unit: String(r.unit ?? ''), at: Number(r.time ?? 0), quality: String(r.quality ?? ''), stale: Boolean(r.stale) }));
  const relations = ((item.relations ?? []) as Item[]).map((r) => ({ relation: String(r.relation), kind: String(r.kind), code: String(r.code), name: String(r.name ?? '') }));
  const line = (item.path ?? []) as Item[];
  return {
    row, kind, code, name: String(item.name ?? ''), type: '', state: '', seen: NaN, scope: Number(line.at(-1)?.k ?? 0),
    lon: Number(item.lon ?? NaN), lat: Number(item.lat ?? NaN), attrs, readings, relations, cases: [],
  };
}
