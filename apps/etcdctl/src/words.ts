import { unquote } from "./unquote.ts";

/** Splits a line into words as etcdctl's interactive commands do: blanks separate, `"…"` and `'…'` keep them. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  for (const [token] of line.matchAll(/"(?:[^"\\]|\\.)*"|'[^']*'|[^'"\s]\S*[^'"\s]?/g)) {
    if (token.startsWith('"')) words.push(unquote(token) ?? token.slice(1, -1));
    else if (token.startsWith("'")) words.push(token.slice(1, -1));
    else words.push(token);
  }
  return words;
}
