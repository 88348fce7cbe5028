/** Source text cut into pieces for light highlighting: words of the language, strings, comments, numbers. Pure. */

export type Tone = 'key' | 'text' | 'note' | 'num' | 'dec' | '';
export interface Piece { tone: Tone; text: string }

const KEYS = new Set('and as assert break class continue def del elif else except finally for from if import in is lambda None not or pass raise return True False try while with yield true false'.split(' '));
const PIECE = /("""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|[rbf]?"(?:\\.|[^"\\\n])*"?|[rbf]?'(?:\\.|[^'\\\n])*'?)|(#[^\n]*)|(@[\w.]+)|(\b\d[\d_.]*(?:e[+-]?\d+)?\b)|([A-Za-z_]\w*)/g;

/** Pieces that joined give the source again, Python and TOML alike. */
export function pieces(source: string): Piece[] {
  const out: Piece[] = [];
  const put = (tone: Tone, text: string): void => {
    const last = out.at(-1);
    if (!text) return;
    if (last?.tone === tone) last.text += text;
    else out.push({ tone, text });
  };
  let end = 0;
  for (const found of source.matchAll(PIECE)) {
    put('', source.slice(end, found.index));
    end = found.index + found[0].length;
    const [all, string, note, decorator, digits] = found;
    put(string ? 'text' : note ? 'note' : decorator ? 'dec' : digits ? 'num' : KEYS.has(all) ? 'key' : '', all);
  }
  put('', source.slice(end));
  return out;
}
