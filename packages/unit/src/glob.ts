/** Whether `name` matches `pattern`, or that the pattern is malformed. */
export type GlobResult = "match" | "no-match" | "bad-pattern";

/**
 * Go's path.Match: `*` and `?` do not cross `/`, `[a-z]` and `[^a-z]`, `\\` escapes. Runs in O(pattern · name): after a
 * star only the last one is ever tried again.
 */
export function matchGlob(pattern: string, name: string): GlobResult {
  if (!isWellFormed(pattern)) return "bad-pattern";
  const p = Array.from(pattern);
  const n = Array.from(name);
  let pi = 0;
  let ni = 0;
  let starP = -1;
  let starN = -1;
  while (ni < n.length) {
    const step = p[pi] === "*" ? undefined : matchOne(p, pi, n[ni] ?? "");
    if (p[pi] === "*") {
      starP = pi++;
      starN = ni;
    } else if (step !== undefined && step > 0) {
      pi += step;
      ni++;
    } else if (starP !== -1 && n[starN] !== "/") {
      pi = starP + 1;
      ni = ++starN;
    } else {
      return "no-match";
    }
  }
  while (p[pi] === "*") pi++;
  return pi === p.length ? "match" : "no-match";
}

/** True for a match; a malformed pattern matches nothing, as in fleet. */
export function globMatches(pattern: string, name: string): boolean {
  return matchGlob(pattern, name) === "match";
}

/** Pattern characters used to match `char` at `pi`, or 0. */
function matchOne(p: readonly string[], pi: number, char: string): number {
  const c = p[pi];
  if (c === undefined) return 0;
  if (c === "?") return char === "/" ? 0 : 1;
  if (c === "\\") return p[pi + 1] === char ? 2 : 0;
  if (c !== "[") return c === char ? 1 : 0;
  let i = pi + 1;
  const negated = p[i] === "^";
  if (negated) i++;
  let hit = false;
  for (let first = true; first || p[i] !== "]"; first = false) {
    if (p[i] === "\\") i++;
    const lo = p[i++] ?? "";
    let hi = lo;
    if (p[i] === "-") {
      i++;
      if (p[i] === "\\") i++;
      hi = p[i++] ?? "";
    }
    if (codeOf(lo) <= codeOf(char) && codeOf(char) <= codeOf(hi)) hit = true;
  }
  return hit !== negated ? i + 1 - pi : 0;
}

function isWellFormed(pattern: string): boolean {
  const p = Array.from(pattern);
  for (let i = 0; i < p.length; i++) {
    if (p[i] === "\\") {
      if (++i >= p.length) return false;
    } else if (p[i] === "[") {
      const end = classEnd(p, i);
      if (end === -1) return false;
      i = end;
    }
  }
  return true;
}

/** Index of the `]` of the class that opens at `open`, or -1. A class holds at least one range; `-` must be escaped. */
function classEnd(p: readonly string[], open: number): number {
  let i = open + 1;
  if (p[i] === "^") i++;
  for (let ranges = 0; ; ranges++) {
    if (p[i] === "]" && ranges > 0) return i;
    const lo = classChar(p, i);
    if (lo === -1) return -1;
    i = lo;
    if (p[i] === "-") {
      const hi = classChar(p, i + 1);
      if (hi === -1) return -1;
      i = hi;
    }
    if (i >= p.length) return -1;
  }
}

function classChar(p: readonly string[], i: number): number {
  if (i >= p.length || p[i] === "-" || p[i] === "]") return -1;
  if (p[i] === "\\") return i + 1 < p.length ? i + 2 : -1;
  return i + 1;
}

function codeOf(char: string): number {
  return char.codePointAt(0) ?? 0;
}
