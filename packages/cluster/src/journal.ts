/** The lines of a program in a journal of `journalctl --output=short-iso --no-hostname`. Pure. */
export function linesOf(journal: string, identifier: string): string {
  const wanted = new RegExp(`^\\S+ ${identifier}\\[\\d+\\]: `);
  let own = false;
  return journal
    .split("\n")
    .filter((line) => {
      // Lines after the first of a message are indented.
      if (!/^\s/.test(line)) own = wanted.test(line);
      return own && line !== "";
    })
    .map((line) => `${line}\n`)
    .join("");
}
