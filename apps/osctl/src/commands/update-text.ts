import type { HistoryEntry, StatusView } from "@keelson/update/client";

/** `2026-11-25 17:00:00 UTC` of seconds since 1970. */
export function formatTime(seconds: number): string {
  return `${new Date(seconds * 1_000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** What `osctl update status` prints. */
export function formatStatus(status: StatusView): string {
  const { booted, previous, target, progress, last, health, lastCheck, agent, server } = status;
  const rows: [string, string][] = [
    ["Version", `${label(booted)}${booted.onTrial ? ", on trial" : ""}`],
    ["Previous", previous === null ? "none" : label(previous)],
    ["State", status.state + (target === null ? "" : ` (${target.version})`)],
  ];
  if (status.note !== null) rows.push(["Note", status.note]);
  if (status.held !== null && status.held !== status.note) rows.push(["Held", status.held]);
  if (progress !== null) {
    const { objectsDone, objectsTotal, bytesReceived } = progress;
    rows.push([
      "Progress",
      `${objectsDone} of ${objectsTotal} objects, ${(bytesReceived / 1e6).toFixed(1)} MB received`,
    ]);
  }
  rows.push(["Last", last === null ? "nothing yet" : `${last.text} (${formatTime(last.at)})`]);
  for (const denial of status.denied) rows.push(["Denied", `${denial.version} (${denial.machine}: ${denial.reason})`]);
  if (health !== null) rows.push(["Health", formatHealth(health)]);
  rows.push(["Checked", formatCheck(lastCheck)]);
  const address = server.url === "" ? "none set (cincinnati.base_url)" : server.url;
  rows.push(["Server", `${address}, stream ${server.stream}, group ${server.group}`]);
  rows.push(["Strategy", agent.strategy + (agent.enabled ? "" : ", updates are disabled")]);
  return rows
    .map(([name, text]) => `${`${name}:`.padEnd(10)}${text.replaceAll("\n", `\n${" ".repeat(10)}`)}\n`)
    .join("");
}

/** What `osctl update history` prints: one line each, the newest last. */
export function formatHistory(history: readonly (HistoryEntry & { readonly text: string })[]): string {
  if (history.length === 0) return "nothing has been done to this machine yet\n";
  return history
    .map(({ at, text, seconds }) => `${formatTime(at)}  ${text.split("\n", 1)[0] ?? ""}${took(seconds)}\n`)
    .join("");
}

/** What came of a check, in a line. */
export function formatCheckResult(status: StatusView): string {
  const { booted, target, state, note, lastCheck } = status;
  if (lastCheck.error !== null) return `${lastCheck.error}\n`;
  if (target !== null) return `${target.version} is on its way: ${state}\n`;
  if (note !== null) return `${note}\n`;
  return `${booted.version} is up to date\n`;
}

function label({ version, commit }: { version: string; commit: string }): string {
  return `${version} (${commit.slice(0, 12)})`;
}

function took(seconds: number): string {
  return seconds === 0 ? "" : `, after ${seconds} s`;
}

function formatHealth({ green, checks }: NonNullable<StatusView["health"]>): string {
  const parts = checks.map(({ name, outcome, detail, required }) => {
    if (outcome === "passed" && detail === "") return name;
    const word = outcome === "passed" ? "" : ` ${outcome}${required ? "" : " (only wanted)"}`;
    return `${name}${word}${detail === "" ? "" : `: ${detail}`}`;
  });
  return `${green ? "green" : "red"} (${parts.join("; ")})`;
}

function formatCheck({ at, error, failures }: StatusView["lastCheck"]): string {
  const when = at === null ? "never" : formatTime(at);
  return error === null ? when : `${when}; the last ${failures === 1 ? "try" : `${failures} tries`} failed: ${error}`;
}
