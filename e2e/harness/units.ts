/** A unit that does nothing and costs nothing. */
export function quietUnit(fleet: readonly string[] = []): string {
  return `[Service]
ExecStart=/bin/sleep infinity
${fleet.length > 0 ? `\n[X-Fleet]\n${fleet.join("\n")}\n` : ""}`;
}

/**
 * A unit that leaves marks in its journal: `started` once a start, `tick-<seconds>` every few seconds, `stopping` when it is
 * asked to end. So a restart, a stop and a gap can all be read afterwards. `%%` and `$$` are systemd's escapes.
 */
export function markedUnit(periodS: number): string {
  return `[Unit]
Description=Leaves marks

[Service]
ExecStart=/bin/sh -c 'echo started; trap "echo stopping; exit 0" TERM; while :; do date +tick-%%s; sleep ${periodS}; done'
`;
}

/** What the marks of a unit say. Pure. */
export function readMarks(lines: readonly string[]): {
  starts: number;
  stops: number;
  ticks: number[];
  longestGapS: number;
} {
  const ticks = lines.flatMap((line) => {
    const match = /tick-(\d+)/.exec(line);
    return match === null ? [] : [Number(match[1])];
  });
  const gaps = ticks.slice(1).map((tick, i) => tick - (ticks[i] ?? tick));
  return {
    starts: lines.filter((line) => /\bstarted$/.test(line)).length,
    stops: lines.filter((line) => /\bstopping$/.test(line)).length,
    ticks,
    longestGapS: Math.max(0, ...gaps),
  };
}
