import fc from "fast-check";
import { expect, it } from "vitest";
import { parseEndpoint } from "./endpoint.ts";
import { EtcdError } from "./errors.ts";

it.each([
  ["http://127.0.0.1:2379", "127.0.0.1:2379", false],
  ["https://etcd-1.example:2379/", "etcd-1.example:2379", true],
  ["[::1]:2379", "[::1]:2379", false],
  ["localhost:2379", "localhost:2379", false],
  ["unix:///run/etcd.sock", "unix:/run/etcd.sock", false],
  ["unix:/run/etcd.sock", "unix:/run/etcd.sock", false],
])("%s connects to %s", (url, target, tls) => expect(parseEndpoint(url)).toEqual({ url, target, tls }));

it("refuses everything else, saying what is expected", () => {
  for (const url of ["", "http://h", "h:99999", "ftp://h:1", "http://h:1/path", "a b:1"]) {
    expect(() => parseEndpoint(url)).toThrow(/expected http:\/\/HOST:PORT/);
  }
  fc.assert(
    fc.property(fc.string(), (url) => {
      let thrown: unknown;
      try {
        parseEndpoint(url);
      } catch (error) {
        thrown = error;
      }
      expect(thrown === undefined || thrown instanceof EtcdError).toBe(true);
    }),
  );
});
