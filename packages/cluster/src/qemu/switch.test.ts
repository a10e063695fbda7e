import { describe, expect, it } from "vitest";
import { Switch } from "./switch.ts";

const MAC = { a: "525400000001", b: "525400000002", c: "525400000003" } as const;
const frame = (to: string, from: string) => Buffer.from(`${to}${from}0800`, "hex");
const BROADCAST = "ffffffffffff";

function three(random = () => 0.5): Switch {
  const it = new Switch(random);
  for (const port of ["a", "b", "c"]) it.addPort(port);
  return it;
}

const ports = (it: Switch, from: string, f: Uint8Array) => it.forward(from, f).map((d) => d.port);

describe("a switch", () => {
  it("floods what it does not know, and learns who is where", () => {
    const it = three();
    expect(ports(it, "a", frame(MAC.b, MAC.a))).toEqual(["b", "c"]);
    expect(ports(it, "b", frame(MAC.a, MAC.b))).toEqual(["a"]);
    expect(ports(it, "a", frame(MAC.b, MAC.a))).toEqual(["b"]);
    expect(ports(it, "b", frame(BROADCAST, MAC.b))).toEqual(["a", "c"]);
  });

  it("lets nothing across a partition, broadcasts included", () => {
    const it = three();
    for (const p of ["a", "b", "c"] as const) it.forward(p, frame(BROADCAST, MAC[p]));
    it.partition([["a"], ["b", "c"]]);
    expect(ports(it, "a", frame(MAC.b, MAC.a))).toEqual([]);
    expect(ports(it, "a", frame(BROADCAST, MAC.a))).toEqual([]);
    expect(ports(it, "b", frame(BROADCAST, MAC.b))).toEqual(["c"]);
    it.heal();
    expect(ports(it, "a", frame(MAC.b, MAC.a))).toEqual(["b"]);
  });

  it("keeps those of no group together", () => {
    const it = three();
    it.partition([["a"]]);
    expect(ports(it, "b", frame(BROADCAST, MAC.b))).toEqual(["c"]);
  });

  it("forgets a machine that is gone, and finds it again at another port", () => {
    const it = three();
    it.forward("b", frame(BROADCAST, MAC.b));
    it.removePort("b");
    expect(ports(it, "a", frame(MAC.b, MAC.a))).toEqual(["c"]);
    it.addPort("b");
    expect(ports(it, "a", frame(MAC.b, MAC.a))).toEqual(["c", "b"]);
  });

  it("delays and loses frames of one direction only", () => {
    const it = three(() => 0.3);
    for (const p of ["a", "b"] as const) it.forward(p, frame(BROADCAST, MAC[p]));
    it.setFaults("a", "b", { delayMs: 200 });
    expect(it.forward("a", frame(MAC.b, MAC.a))).toEqual([{ port: "b", delayMs: 200 }]);
    expect(it.forward("b", frame(MAC.a, MAC.b))).toEqual([{ port: "a", delayMs: 0 }]);
    it.setFaults("a", "b", { dropRate: 0.4 });
    expect(it.forward("a", frame(MAC.b, MAC.a))).toEqual([]);
    it.setFaults("a", "b", {});
    expect(ports(it, "a", frame(MAC.b, MAC.a))).toEqual(["b"]);
  });
});
