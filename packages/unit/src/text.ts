/** The characters that systemd calls whitespace. Narrower than String.trim, which would eat a no-break space. */
export function isBlank(char: string | undefined): boolean {
  return char === " " || char === "\t" || char === "\n" || char === "\r";
}

/** Index of the first character at or after `from` that is not blank. */
export function skipBlanks(text: string, from = 0): number {
  let i = from;
  while (i < text.length && isBlank(text[i])) i++;
  return i;
}

/** `text` without blanks at its ends. */
export function trimBlanks(text: string): string {
  const start = skipBlanks(text);
  let end = text.length;
  while (end > start && isBlank(text[end - 1])) end--;
  return text.slice(start, end);
}

/** Splits at runs of blanks; no empty words. */
export function splitBlanks(text: string): string[] {
  const words: string[] = [];
  for (let i = skipBlanks(text); i < text.length; ) {
    const start = i;
    while (i < text.length && !isBlank(text[i])) i++;
    words.push(text.slice(start, i));
    i = skipBlanks(text, i);
  }
  return words;
}

/** Whether `text` ends in an odd number of backslashes, so that the last one escapes what follows. */
export function endsEscaped(text: string): boolean {
  let count = 0;
  for (let i = text.length - 1; i >= 0 && text[i] === "\\"; i--) count++;
  return count % 2 === 1;
}

/** Bytes of `text` in UTF-8; a lone surrogate counts as the replacement character. */
export function utf8Length(text: string): number {
  let bytes = 0;
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes;
}

/** The first control character other than a tab, or -1. They never belong into names, and most often hide a mistake. */
export function indexOfControl(text: string): number {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return i;
  }
  return -1;
}
