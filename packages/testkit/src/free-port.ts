import { createServer } from "node:net";

const given = new Set<number>();
const GIVEN_MAX = 1_000;

/**
 * A TCP port of 127.0.0.1 that nobody listens on now. Another process may take it before you do: prefer port 0 where the
 * program can say what it got. One process is not given the same port twice in a row.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await probe();
    if (given.has(port)) continue;
    given.add(port);
    if (given.size > GIVEN_MAX) given.clear();
    return port;
  }
}

function probe(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject()));
    });
  });
}
