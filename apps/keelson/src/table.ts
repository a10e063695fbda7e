/** Columns aligned with two blanks between them, as tabwriter prints. Pure. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows
    .map((row) => `${row.map((cell, i) => cell.padEnd(i === row.length - 1 ? 0 : (widths[i] ?? 0) + 2)).join("")}\n`)
    .join("");
}
