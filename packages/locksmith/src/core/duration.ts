const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  "\u00b5s": 1e-3,
  "\u03bcs": 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

const NUMBER_AND_UNIT = /^(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/;

/** A duration as Go writes it, `1h30m` or `-1.5s`, in milliseconds; undefined when it is none. Source: time.ParseDuration. */
export function parseGoDuration(text: string): number | undefined {
  const sign = text.startsWith("-") ? -1 : 1;
  let rest = /^[+-]/.test(text) ? text.slice(1) : text;
  if (rest === "0") return 0;
  if (rest === "" || rest.length > 64) return undefined;
  let ms = 0;
  while (rest !== "") {
    const match = NUMBER_AND_UNIT.exec(rest);
    if (match === null) return undefined;
    ms += Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? Number.NaN);
    rest = rest.slice(match[0].length);
  }
  // Go counts nanoseconds in 63 bits.
  return ms > 2 ** 63 / 1e6 ? undefined : sign * ms;
}

/** Milliseconds for people and for upstream's files: `1h30m0s`, as Go prints whole seconds. */
export function formatGoDuration(ms: number): string {
  const total = Math.round(ms / 1_000);
  const [h, m, s] = [Math.floor(total / 3_600), Math.floor(total / 60) % 60, total % 60];
  if (h > 0) return `${h}h${m}m${s}s`;
  return m > 0 ? `${m}m${s}s` : `${s}s`;
}
