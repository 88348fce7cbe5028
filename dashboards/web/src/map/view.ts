/** The map's handle for the rest of the page; filled when the map stands, harmless before. */

export interface View {
  home: () => void;
  whole: () => void;
  /** Fit a scope's box. */
  scope: (row: number) => void;
  fly: (lon: number, lat: number, zoom?: number) => void;
  /** Screen position inside the map box of a place, null before the map stands. */
  project: (lon: number, lat: number) => { x: number; y: number } | null;
}

const nothing = (): void => undefined;
const IDLE: View = { home: nothing, whole: nothing, scope: nothing, fly: nothing, project: () => null };
export const view: View = { ...IDLE };

/** The map is gone: its handle does nothing again. */
export function detach(): void {
  Object.assign(view, IDLE);
}
