/** A picture made small enough to be sent from the field: at most 8 MiB, and far less where it can be. */

export const MOST_BYTES = 8 * 1024 * 1024;
const EDGE = 1600;

/** Width and height within an edge, whole pixels, never larger than they were. Pure. */
export function within(width: number, height: number, edge = EDGE): [number, number] {
  const k = Math.min(1, edge / Math.max(width, height));
  return [Math.max(1, Math.round(width * k)), Math.max(1, Math.round(height * k))];
}

function drawn(image: ImageBitmap, edge: number, quality: number): string {
  const [width, height] = within(image.width, image.height, edge);
  const board = document.createElement('canvas');
  board.width = width;
  board.height = height;
  board.getContext('2d')?.drawImage(image, 0, 0, width, height);
  return board.toDataURL('image/jpeg', quality);
}

/** A JPEG as data URL within `most` bytes; throws when the file is no picture. What else was in the file (place, camera) is gone. */
export async function reduced(file: Blob, most = MOST_BYTES): Promise<string> {
  const image = await createImageBitmap(file);
  try {
    for (const [edge, quality] of [[EDGE, 0.82], [EDGE, 0.6], [1024, 0.6], [640, 0.5]] as const) {
      const url = drawn(image, edge, quality);
      if (url.length * 0.75 <= most) return url;
    }
    throw new Error('too large');
  } finally {
    image.close();
  }
}
