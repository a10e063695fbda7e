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

/** A unit that runs a container of an image in the host's network, and whatever its life it ends with the machine. */
export function containerUnit(image: string, fleet: readonly string[] = []): string {
  return `[Unit]
Description=A container of ${image}

[Service]
ExecStart=/usr/bin/rkt run --net=host --insecure-options=http ${image} --memory=64Mi
Restart=on-failure
RestartSec=5
TimeoutStartSec=180
${fleet.length > 0 ? `\n[X-Fleet]\n${fleet.join("\n")}\n` : ""}`;
}

/** Like a database: appends to a file below /var for as long as it runs, and syncs it. */
export function databaseUnit(): string {
  return `[Unit]
Description=Appends and syncs

[Service]
StateDirectory=database
ExecStart=/bin/sh -c 'while :; do date +%%s >>/var/lib/database/log && sync /var/lib/database/log; sleep 5; done'
Restart=on-failure
`;
}
