const TAB_WIDTH = 8;

/**
 * Lays out cells as fleetctl does, byte for byte: with tabs to multiples of 8, at least one between columns, and none
 * after the last. Source: Go text/tabwriter with fleet's parameters (0, 8, 1, '\t').
 */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.slice(0, -1).entries()) widths[i] = Math.max(widths[i] ?? 0, lengthOf(cell) + 1);
  }
  return rows
    .map((row) => `${row.map((cell, i) => pad(cell, i === row.length - 1 ? 0 : (widths[i] ?? 0))).join("")}\n`)
    .join("");
}

function pad(cell: string, width: number): string {
  if (width === 0) return cell;
  const wide = Math.ceil(width / TAB_WIDTH) * TAB_WIDTH;
  return cell + "\t".repeat(Math.ceil((wide - lengthOf(cell)) / TAB_WIDTH));
}

function lengthOf(text: string): number {
  return Array.from(text).length;
}
