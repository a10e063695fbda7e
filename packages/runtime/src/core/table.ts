const TAB_WIDTH = 8;

/** Lays out cells as rkt did: tabs to multiples of 8, one at least. Source: Go text/tabwriter (0, 8, 1, '\t'). */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.slice(0, -1).entries())
      widths[i] = Math.max(widths[i] ?? 0, Array.from(cell).length + 1);
  }
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i === row.length - 1 ? cell : pad(cell, widths[i] ?? 0))).join("");
  return rows.map((row) => `${line(row)}\n`).join("");
}

function pad(cell: string, width: number): string {
  const wide = Math.ceil(width / TAB_WIDTH) * TAB_WIDTH;
  return cell + "\t".repeat(Math.ceil((wide - Array.from(cell).length) / TAB_WIDTH));
}

/** `3 minutes ago`, as a person says it. */
export function ago(thenMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - thenMs) / 1000));
  for (const [unit, size] of [
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
    ["second", 1],
  ] as const) {
    const count = Math.floor(seconds / size);
    if (count >= 1) return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
  }
  return "now";
}
