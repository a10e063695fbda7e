import fc from "fast-check";
import { expect, it } from "vitest";
import { addressesOf, cniChains } from "./cni.ts";
import { parseNetworkConfig } from "./network-config.ts";
import { planOf, refusalOf } from "./testing.ts";

it("chains plugins by text alone", () => {
  const [chain, plain] = cniChains(
    planOf(["--net=default:IP=1.2.3.4,plain", "--port=80:8080", "--port=53-udp:127.0.0.1:53", "one"]).network,
  );
  expect(chain).toMatchObject({ name: "default", interface: "eth0", args: "IgnoreUnknown=1;IP=1.2.3.4" });
  expect(plain).toMatchObject({ name: "plain", interface: "eth1", stages: [{ plugin: "ptp" }] });
  const [bridge, portmap] = chain?.stages ?? [];
  expect(JSON.parse(`${bridge?.head}}`)).toMatchObject({ cniVersion: "1.0.0", name: "default", type: "bridge" });
  const second = JSON.parse(`${portmap?.head},"prevResult":{"ips":[]}}`);
  expect(second).toMatchObject({
    type: "portmap",
    prevResult: { ips: [] },
    runtimeConfig: {
      portMappings: [
        { containerPort: 80, hostPort: 8080, protocol: "tcp" },
        { containerPort: 53, hostPort: 53, protocol: "udp", hostIP: "127.0.0.1" },
      ],
    },
  });
  expect(second).not.toHaveProperty("capabilities");
});

it.each([
  ["", "not JSON"],
  ["[]", "x.conf"],
  ["{}", "cniVersion"],
  ['{"cniVersion":"1.0.0","name":"A","type":"bridge"}', "name: is not a name"],
  ['{"cniVersion":"1.0.0","name":"host","type":"bridge"}', "host is taken"],
  ['{"cniVersion":"1.0.0","name":"a","type":"../../bin/sh"}', "type: is not the name of a plugin"],
  ['{"cniVersion":"1.0.0","name":"a","plugins":[]}', "plugins"],
  ['{"cniVersion":"0.2.0","name":"a","type":"bridge"}', "cniVersion"],
])("refuses %j", (text, message) => expect(() => parseNetworkConfig(text, "x.conf")).toThrow(message));

it("understands or refuses any JSON", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(refusalOf(() => parseNetworkConfig(text, "x.conf")) ?? "x.conf").toContain("x.conf");
    }),
  );
});

it("finds addresses in a result, whatever it is", () => {
  expect(addressesOf('{"ips":[{"address":"10.0.0.2/24"},{"address":"fd00::2/64"},{}]}')).toEqual([
    "10.0.0.2",
    "fd00::2",
  ]);
  for (const text of ["", "null", "[]", '{"ips":{}}', '{"ips":[null,1]}']) expect(addressesOf(text)).toEqual([]);
});
