/**
 * A seeded `Math.random`.
 *
 * QuickJS' own begins in every invocation where it was when the handler was built. This one is seeded from the step's identity:
 * a retry of the step gets the same numbers, so that it makes the same requests again, and another delivery gets others. It is
 * good for jitter and for a choice among equals, not for secrets.
 */

/** Returns a function like `Math.random` for a seed (xoshiro128**, David Blackman and Sebastiano Vigna). */
export function seeded(seed: string): () => number {
  const mix = mixer(seed);
  let [a, b, c, d] = [mix(), mix(), mix(), mix()];
  const rotated = (value: number, by: number): number => (value << by) | (value >>> (32 - by));
  const next = (): number => {
    const result = Math.imul(rotated(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotated(d, 11);
    return result;
  };
  // 53 bits, as a double has.
  return () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
}

/** Returns a function that gives numbers of 32 bits which depend on all of the text (MurmurHash3's last step). */
function mixer(text: string): () => number {
  let hash = 0x9747b28c ^ text.length;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0xcc9e2d51);
    hash = (hash << 13) | (hash >>> 19);
  }
  return () => {
    hash = (hash + 0x9e3779b9) | 0;
    let value = hash;
    value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
    value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
    return (value ^ (value >>> 16)) >>> 0;
  };
}
