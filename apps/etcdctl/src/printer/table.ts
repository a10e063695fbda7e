import { duration } from "../go.ts";
import type { Printer } from "./printer.ts";
import { memberCells, statusCells } from "./simple.ts";
import { unsupported } from "./unsupported.ts";

/** A bordered table: headers centred, cells to the right. */
export function renderTable(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headers.map((h, i) => Math.max(width(h), ...rows.map((row) => width(row[i] ?? ""))));
  const rule = `+${widths.map((w) => "-".repeat(w + 2)).join("+")}+\n`;
  const line = (cells: readonly string[], pad: (cell: string, w: number) => string) =>
    `|${cells.map((cell, i) => ` ${pad(cell, widths[i] ?? 0)} `).join("|")}|\n`;
  const body = rows.map((row) => line(row, (cell, w) => " ".repeat(w - width(cell)) + cell)).join("");
  return rule + line(headers, centre) + rule + body + rule;
}

function width(text: string): number {
  return Array.from(text).length;
}

function centre(text: string, w: number): string {
  const gap = w - width(text);
  const left = Math.floor(gap / 2);
  return " ".repeat(left) + text + " ".repeat(gap - left);
}

export function tablePrinter(): Printer {
  return {
    ...unsupported("table"),
    memberList: (r) =>
      renderTable(["ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"], r.members.map(memberCells)),
    health: (rows) =>
      renderTable(
        ["ENDPOINT", "HEALTH", "TOOK", "ERROR"],
        rows.map((h) => [h.endpoint, String(h.healthy), duration(h.tookMs), h.error]),
      ),
    status: (rows) =>
      renderTable(
        [
          "ENDPOINT",
          "ID",
          "VERSION",
          "DB SIZE",
          "IS LEADER",
          "IS LEARNER",
          "RAFT TERM",
          "RAFT INDEX",
          "RAFT APPLIED INDEX",
          "ERRORS",
        ],
        rows.map(statusCells),
      ),
    hashKv: (rows) =>
      renderTable(
        ["ENDPOINT", "HASH"],
        rows.map((r) => [r.endpoint, String(r.response.hash)]),
      ),
  };
}
