import fc from "fast-check";
import { expect, it } from "vitest";
import { ListenAddressError, parseListenUrl } from "./address.ts";

it.each([
  ["http://127.0.0.1:2379", { kind: "tcp", tls: false, host: "127.0.0.1", port: 2379 }],
  ["https://[::1]:0/", { kind: "tcp", tls: true, host: "::1", port: 0 }],
  ["http://localhost:80", { kind: "tcp", tls: false, host: "localhost", port: 80 }],
  ["unix:///run/x.sock", { kind: "unix", tls: false, path: "/run/x.sock" }],
])("%s", (url, want) => expect(parseListenUrl(url)).toEqual(want));

it("refuses everything else with a ListenAddressError", () => {
  for (const url of ["", "127.0.0.1:1", "http://h", "http://h:99999", "http://h:1/path", "ftp://h:1"]) {
    expect(() => parseListenUrl(url)).toThrow(ListenAddressError);
  }
  fc.assert(
    fc.property(fc.string(), (url) => {
      let thrown: unknown;
      try {
        parseListenUrl(url);
      } catch (error) {
        thrown = error;
      }
      expect(thrown === undefined || thrown instanceof ListenAddressError).toBe(true);
    }),
  );
});
