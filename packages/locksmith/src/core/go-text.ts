/** Orders text as Go does, by its UTF-8 bytes: for well-formed text that is the order of code points. */
export function compareGo(a: string, b: string): number {
  const [left, right] = [Array.from(a), Array.from(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = (left[i]?.codePointAt(0) ?? 0) - (right[i]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

const UNSAFE = /[<>&\u2028\u2029]/g;

/** Text as encoding/json writes it: what could end a script element in HTML is escaped too. */
export function goJsonString(text: string): string {
  return JSON.stringify(text.toWellFormed()).replace(
    UNSAFE,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** net/url.QueryEscape: letters, digits and `-_.~` stay, a space becomes `+`, the rest its UTF-8 bytes in hex. */
export function queryEscape(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replaceAll("%20", "+")
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** The inverse of {@link queryEscape}; undefined when the text is none of its results. */
export function queryUnescape(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", "%20"));
  } catch {
    return undefined;
  }
}
