/** One challenge of a WWW-Authenticate header. RFC 9110 §11.6.1. */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

const HEADER_LENGTH_MAX = 16 * 1024;
const CHALLENGES_MAX = 16;
const PARAMETERS_MAX = 32;
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const SPACE = /[ \t]*/y;

/**
 * Reads the challenges of one or several WWW-Authenticate headers (joined by commas). What cannot be read ends the list: a client then has
 * fewer ways to authenticate, and never wrong ones. A parameter given twice makes its challenge unusable and drops it.
 */
export function parseChallenges(header: string): Challenge[] {
  const result: Challenge[] = [];
  const text = header.slice(0, HEADER_LENGTH_MAX);
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    if (match !== null) position += match[0].length;
    return match ?? undefined;
  };
  const takeChar = (char: string): boolean => {
    if (text[position] !== char) return false;
    position++;
    return true;
  };
  const skipSeparators = () => {
    do take(SPACE);
    while (takeChar(","));
  };
  /** `name = value`, or undefined with the position unchanged. */
  const parameter = (): [string, string] | undefined => {
    const start = position;
    const name = take(TOKEN)?.[0];
    take(SPACE);
    if (name !== undefined && takeChar("=")) {
      take(SPACE);
      const value = take(QUOTED)?.[1]?.replace(/\\(.)/g, "$1") ?? take(TOKEN)?.[0];
      if (value !== undefined) return [name.toLowerCase(), value];
    }
    position = start;
    return undefined;
  };

  while (result.length < CHALLENGES_MAX) {
    skipSeparators();
    const scheme = take(TOKEN)?.[0];
    if (scheme === undefined) break;
    const parameters: Record<string, string> = Object.create(null);
    let isUsable = true;
    const hasSpace = (take(SPACE)?.[0].length ?? 0) > 0;
    // `Negotiate abc==`: a blob in place of parameters, which no registry scheme uses.
    if (hasSpace && take(TOKEN68) !== undefined) {
      result.push({ scheme: scheme.toLowerCase(), parameters });
      continue;
    }
    for (let count = 0; ; count++) {
      const before = position;
      if (count > 0) skipSeparators();
      const pair = parameter();
      if (pair === undefined) {
        position = before;
        break;
      }
      if (Object.hasOwn(parameters, pair[0]) || count >= PARAMETERS_MAX) isUsable = false;
      parameters[pair[0]] = pair[1];
    }
    if (isUsable) result.push({ scheme: scheme.toLowerCase(), parameters });
    take(SPACE);
    if (position < text.length && text[position] !== ",") break;
  }
  return result;
}
