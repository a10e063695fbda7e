import { once } from "node:events";
import type { Registry } from "../registry/registry.ts";
import { Signal } from "../time.ts";
import type { ApiRequest } from "./http.ts";

/**
 * Answers with a list and then its changes, one JSON object a line, until the client leaves: `{"type":"put","item":…}`
 * for every item at first and then for each that changes, `{"type":"delete","key":…}`, and `{"type":"sync"}` whenever
 * all that is known was said. A client that reads slowly gets only the newest state of each item.
 */
export async function streamChanges<T>(
  registry: Registry,
  { response, signal }: ApiRequest,
  all: () => readonly T[],
  keyOf: (item: T) => string,
): Promise<void> {
  response.writeHead(200, { "Content-Type": "application/x-ndjson" });
  const known = new Map<string, string>();
  const changed = new Signal();
  using _ = registry.subscribe(() => changed.raise());
  changed.raise();
  while (!signal.aborted) {
    await changed.wait(signal);
    if (signal.aborted) break;
    const lines: string[] = [];
    const seen = new Set<string>();
    for (const item of all()) {
      const [key, text] = [keyOf(item), JSON.stringify(item)];
      seen.add(key);
      if (known.get(key) === text) continue;
      known.set(key, text);
      lines.push(`{"type":"put","item":${text}}\n`);
    }
    for (const key of known.keys()) {
      if (seen.has(key)) continue;
      known.delete(key);
      lines.push(`${JSON.stringify({ type: "delete", key })}\n`);
    }
    lines.push('{"type":"sync"}\n');
    if (!response.write(lines.join(""))) await once(response, "drain", { signal }).catch(() => {});
  }
  response.end();
}
