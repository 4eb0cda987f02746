/** UTF-8, which QuickJS does not bring. */

/** Returns the text as UTF-8. Halves of characters (lone surrogates) become U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 3);
  let length = 0;
  for (let index = 0; index < text.length; index += 1) {
    let code = text.codePointAt(index) ?? 0;
    if (code > 0xffff) index += 1;
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) {
      bytes[length++] = code;
    } else if (code < 0x800) {
      bytes[length++] = 0xc0 | (code >> 6);
      bytes[length++] = 0x80 | (code & 0x3f);
    } else if (code < 0x10000) {
      bytes[length++] = 0xe0 | (code >> 12);
      bytes[length++] = 0x80 | ((code >> 6) & 0x3f);
      bytes[length++] = 0x80 | (code & 0x3f);
    } else {
      bytes[length++] = 0xf0 | (code >> 18);
      bytes[length++] = 0x80 | ((code >> 12) & 0x3f);
      bytes[length++] = 0x80 | ((code >> 6) & 0x3f);
      bytes[length++] = 0x80 | (code & 0x3f);
    }
  }
  return bytes.slice(0, length);
}

/** Returns the number of bytes of the text in UTF-8. */
export function utf8Length(text: string): number {
  let length = 0;
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return length;
}

/** Returns the text of UTF-8 bytes. As in the WHATWG's decoder, each part that is not UTF-8 becomes U+FFFD. */
export function decodeUtf8(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK) binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  try {
    // In QuickJS this takes a tenth of the time of a loop over the bytes. It refuses what is not UTF-8.
    return decodeURIComponent(escape(binary));
  } catch {
    return decodeWithReplacements(bytes);
  }
}

/** So many characters are made in one call: a function has so many arguments at most. */
const CHUNK = 4_096;

function decodeWithReplacements(bytes: Uint8Array): string {
  const parts: string[] = [];
  let codes: number[] = [];
  let at = 0;
  while (at < bytes.length) {
    const first = bytes[at++] ?? 0;
    let code = 0xfffd;
    if (first < 0x80) {
      code = first;
    } else {
      const follow =
        first >= 0xc2 && first <= 0xdf ? 1 : first >= 0xe0 && first <= 0xef ? 2 : first >= 0xf0 && first <= 0xf4 ? 3 : 0;
      // The first byte that follows has narrower bounds where longer forms, surrogates and codes over U+10FFFF begin.
      let least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
      let most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
      let value = follow === 1 ? first & 0x1f : follow === 2 ? first & 0x0f : first & 0x07;
      let left = follow;
      while (left > 0) {
        const next = bytes[at];
        if (next === undefined || next < least || next > most) break;
        value = (value << 6) | (next & 0x3f);
        at += 1;
        left -= 1;
        least = 0x80;
        most = 0xbf;
      }
      if (follow > 0 && left === 0) code = value;
    }
    codes.push(code);
    if (codes.length === CHUNK) {
      parts.push(String.fromCodePoint(...codes));
      codes = [];
    }
  }
  parts.push(String.fromCodePoint(...codes));
  return parts.join("");
}
