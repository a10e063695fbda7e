/** Short forms that fleet's documentation has always shown, per command; everywhere else `-x` is what commander says. */
const SHORT = new Set(["-l", "-f", "-o", "-h", "-v"]);

/**
 * Rewrites what older scripts say: `-no-legend` and `-fields=x` as Go's flag package took them, `--l` and `--f` as fleet
 * 1.0 did. Anything after `--` is left alone, and so are numbers and `-`.
 */
export function modernize(argv: readonly string[]): string[] {
  const end = argv.indexOf("--");
  const own = end === -1 ? argv : argv.slice(0, end);
  const rest = end === -1 ? [] : argv.slice(end);
  const modern = own.map((word) => {
    if (/^--[a-z]$/.test(word)) return word.slice(1);
    if (SHORT.has(word) || !/^-[a-z][a-z-]*(=|$)/.test(word)) return word;
    return `-${word}`;
  });
  return [...modern, ...rest];
}

/** The only name that begins with `word`, or `word` itself. `list-m` is enough for list-machines. */
export function completeName(word: string, names: readonly string[]): string {
  if (names.includes(word)) return word;
  const found = names.filter((name) => name.startsWith(word));
  return found.length === 1 && found[0] !== undefined ? found[0] : word;
}
