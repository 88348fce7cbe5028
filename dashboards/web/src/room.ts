/** How many rows each theme may show in a column of a given height. Pure; heights in rem. */

export const ROW = 2.21875;
export const HEAD = 1.875;
/** A line of the themes that are only named, two in a line, and the heading above them. */
export const LINE = 1.375;
export const FOLD_HEAD = 1.75;

interface Size { total: number; bad: number }

/** How many rows each group may show: one each, then the abnormal ones, then the rest, as long as there is room. */
export function share(sizes: Size[], room: number): number[] {
  const out = sizes.map(() => 0);
  let left = room;
  const give = (i: number): void => { out[i] = (out[i] ?? 0) + 1; left -= ROW; };
  for (let i = 0; i < sizes.length && left >= HEAD + ROW; i++) { left -= HEAD; give(i); }
  for (const limit of [(s: Size) => Math.min(s.bad, 3), (s: Size) => Math.min(s.total, 3), (s: Size) => s.total]) {
    for (let more = true; more; ) {
      more = false;
      sizes.forEach((s, i) => {
        if (left >= ROW && (out[i] ?? 0) > 0 && (out[i] ?? 0) < limit(s)) { give(i); more = true; }
      });
    }
  }
  return out;
}

/** Height of `n` themes that are only named. */
export function folded(n: number): number {
  return n > 0 ? FOLD_HEAD + Math.ceil(n / 2) * LINE : 0;
}

/**
 * Rows of each group, worst first, such that every theme is seen: the first ones with rows, the others by name.
 * `named`: how many of those there is room for.
 */
export function fit(sizes: Size[], room: number): { rows: number[]; named: number } {
  let open = sizes.length;
  while (open > 0 && open * (HEAD + ROW) + folded(sizes.length - open) > room) open -= 1;
  const rest = sizes.length - open;
  const rows = [...share(sizes.slice(0, open), room - folded(rest)), ...new Array<number>(rest).fill(0)];
  return { rows, named: Math.max(0, Math.min(rest, 2 * Math.floor((room - FOLD_HEAD + 1e-9) / LINE))) };
}
