const M = 0x5bd1e995;

/** MurmurHash2 (32 bits) of the UTF-8 bytes: by it front ends and kernel agree on the name of a cell's source. */
export function murmur2(text: string, seed: number): number {
  const data = new TextEncoder().encode(text);
  const view = new DataView(data.buffer);
  let h = seed ^ data.length;
  let at = 0;
  for (; data.length - at >= 4; at += 4) {
    let k = Math.imul(view.getUint32(at, true), M);
    k = Math.imul(k ^ (k >>> 24), M);
    h = Math.imul(h, M) ^ k;
  }
  const rest = data.length - at;
  if (rest > 0) {
    for (let i = rest - 1; i >= 0; i--) h ^= data[at + i]! << (8 * i);
    h = Math.imul(h, M);
  }
  h = Math.imul(h ^ (h >>> 13), M);
  return (h ^ (h >>> 15)) >>> 0;
}
