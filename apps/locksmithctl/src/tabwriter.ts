const TAB_WIDTH = 8;

/**
 * Lays out text whose cells end with tabs, as Go's text/tabwriter with upstream's parameters (0, 8, 1, tab): a column is
 * as wide as its widest cell in the lines that follow one another and have it, padded with tabs.
 */
export function alignTabs(text: string): string {
  const lines = text.split("\n").map((line) => line.split("\t"));
  const widths = lines.map(() => [] as number[]);
  for (let column = 0; lines.some((cells) => cells.length - 1 > column); column++) {
    for (let first = 0; first < lines.length; first++) {
      let end = first;
      let widest = 0;
      for (; (lines[end]?.length ?? 0) - 1 > column; end++) {
        widest = Math.max(widest, lengthOf(lines[end]?.[column]) + 1);
      }
      for (let i = first; i < end; i++) widths[i]?.push(Math.ceil(widest / TAB_WIDTH) * TAB_WIDTH);
      first = Math.max(first, end);
    }
  }
  return lines
    .map((cells, i) =>
      cells.map((cell, column) => (column === cells.length - 1 ? cell : pad(cell, widths[i]?.[column] ?? 0))).join(""),
    )
    .join("\n");
}

function pad(cell: string, width: number): string {
  return cell + "\t".repeat(Math.ceil((width - lengthOf(cell)) / TAB_WIDTH));
}

function lengthOf(cell: string | undefined): number {
  return Array.from(cell ?? "").length;
}
