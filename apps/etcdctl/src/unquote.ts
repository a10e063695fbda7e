const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
  "'": "'",
};

/** The value of a double-quoted Go string literal, or undefined when it is malformed. */
export function unquote(literal: string): string | undefined {
  const inner = /^"((?:[^"\\]|\\.)*)"$/s.exec(literal)?.[1];
  if (inner === undefined) return undefined;
  let valid = true;
  const value = inner.replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/gs, (_all, e: string) => {
    if (/^[xuU]./.test(e)) return String.fromCodePoint(Number.parseInt(e.slice(1), 16) % 0x110000);
    if (/^[0-7]{3}$/.test(e)) return String.fromCodePoint(Number.parseInt(e, 8));
    const simple = ESCAPES[e];
    if (simple === undefined) valid = false;
    return simple ?? "";
  });
  return valid ? value : undefined;
}
