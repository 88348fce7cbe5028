/** Addresses of the pages: which page a path is, and links that say what is looked at. Pure. */

export type Page = 'wall' | 'dispatch' | 'lab' | 'ops' | 'unit';

/** The title of each page, as key of the catalogue. */
export const TITLES = { wall: 'title', dispatch: 'title.dispatch', lab: 'title.lab', ops: 'title.ops', unit: 'title.unit' } as const satisfies Record<Page, string>;

export function pageOf(path: string): Page {
  const found = /^\/(dispatch|lab|ops|unit)\/?$/.exec(path)?.[1];
  return (found as Page | undefined) ?? 'wall';
}

/** `/lab?id=traffic_tti&why=420102`: an indicator, and where its number is asked about ('' = nowhere). */
export function addressOf(page: Page, id: string, why = ''): string {
  if (page !== 'wall' && page !== 'lab') return `/${page}`;
  const query = new URLSearchParams();
  if (id) query.set(page === 'lab' ? 'id' : 'indicator', id);
  if (why) query.set('why', why);
  const said = query.toString();
  return (page === 'lab' ? '/lab' : '/') + (said ? `?${said}` : '');
}

/** What an address asks for. */
export function askedOf(search: string, page: Page): { id: string; why: string } {
  const query = new URLSearchParams(search);
  return { id: query.get(page === 'lab' ? 'id' : 'indicator') ?? '', why: query.get('why') ?? '' };
}
