/** What `readelf -d` says of one file. */
export interface ElfNeeds {
  readonly file: string;
  readonly needs: readonly string[];
}

/** Reads the output of `readelf -d` over several files (`File: …` headers). Pure. */
export function parseReadelf(text: string): ElfNeeds[] {
  const files: { file: string; needs: string[] }[] = [];
  for (const line of text.split("\n")) {
    const file = /^File: (.*)$/.exec(line)?.[1];
    if (file !== undefined) files.push({ file, needs: [] });
    const needed = /\(NEEDED\).*\[(.*)\]/.exec(line)?.[1];
    if (needed !== undefined) files.at(-1)?.needs.push(needed);
  }
  return files;
}

/** Lines `file needs library` for libraries that are nowhere in `present` (base names). Pure. */
export function missingLibraries(elves: readonly ElfNeeds[], present: ReadonlySet<string>): string[] {
  return elves.flatMap(({ file, needs }) =>
    needs.filter((name) => !present.has(name)).map((name) => `${file} needs ${name}`),
  );
}
