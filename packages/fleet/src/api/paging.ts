import { ApiError } from "../errors.ts";

/** One page of a list, and the token of the next. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next?: string;
}

const OWN_MARK = "after:";

/**
 * Cuts a page out of items that are sorted by `keyOf`. Our token names the last key given, so that no item is given
 * twice or left out while others come and go. fleet's own token (little-endian uint16 limit and page) is still read.
 * @throws ApiError 400, in fleet's words
 */
export function pageOf<T>(
  all: readonly T[],
  keyOf: (item: T) => string,
  query: URLSearchParams,
  limit: number,
): Page<T> {
  const start = startOf(all, keyOf, query, limit);
  const items = all.slice(start, start + limit);
  const last = items.at(-1);
  if (last === undefined || start + limit >= all.length) return { items };
  return { items, next: Buffer.from(OWN_MARK + keyOf(last)).toString("base64url") };
}

function startOf<T>(all: readonly T[], keyOf: (item: T) => string, query: URLSearchParams, limit: number): number {
  const tokens = query.getAll("nextPageToken");
  if (tokens.length > 1) throw new ApiError(400, "too many values for page token");
  const [token] = tokens;
  if (token === undefined) return 0;
  if (!/^[A-Za-z0-9_-]+={0,2}$/.test(token)) throw new ApiError(400, "page token is not base64url");
  const bytes = Buffer.from(token, "base64url");
  const text = bytes.toString();
  if (text.startsWith(OWN_MARK)) {
    const after = text.slice(OWN_MARK.length);
    const index = all.findIndex((item) => keyOf(item) > after);
    return index === -1 ? all.length : index;
  }
  if (bytes.length < 4) throw new ApiError(400, "unexpected EOF");
  if (bytes.readUInt16LE(0) !== limit) throw new ApiError(400, `token limit must be ${limit}`);
  const page = bytes.readUInt16LE(2);
  if (page === 0) throw new ApiError(400, "token page must be greater than zero");
  return (page - 1) * limit;
}
