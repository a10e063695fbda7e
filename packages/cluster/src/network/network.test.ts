import { describe, expect, it } from "vitest";
import { completeGroups } from "../groups.ts";
import { healCommands, partitionCommands, planNetwork, setUpCommands } from "./network.ts";

const plan = planNetwork(123, 7, ["m1", "m2", "m3"]);
const lines = (commands: readonly (readonly string[])[]) => commands.map((words) => words.join(" "));

describe("the network of a cluster", () => {
  it("gives every machine a card to the others and one to the host", () => {
    expect(lines(setUpCommands(plan, "veth"))).toEqual(
      expect.arrayContaining([
        "netns add keelson-123-7-m2",
        "-n keelson-123-7-m2 link add eth0 type veth peer name p1 netns keelson-123-7",
        "-n keelson-123-7-m2 address add 10.77.0.12/24 dev eth0",
        "-n keelson-123-7-m2 address add 10.78.7.12/24 dev eth1",
        "-n keelson-123-7-m2 address add 10.77.1.12/24 dev eth1",
      ]),
    );
  });

  it("gives VMs a tap beside the bridge to the host, and no namespaces of their own", () => {
    const commands = lines(setUpCommands(plan, "tap"));
    expect(commands).toContain("-n keelson-123-7 tuntap add dev t1 mode tap");
    expect(commands).toContain("-n keelson-123-7 link set t1 master mgmt up");
    expect(commands.filter((line) => line.startsWith("netns add"))).toEqual(["netns add keelson-123-7"]);
  });

  it("puts one interface on the host, with a name the kernel takes", () => {
    const onHost = lines(setUpCommands(plan, "veth")).filter((line) => line.startsWith("link add"));
    expect(onHost).toEqual(["link add kl7-123 type veth peer name host netns keelson-123-7"]);
    expect(planNetwork(4_194_304, 254, []).hostInterface.length).toBeLessThanOrEqual(15);
  });

  it("splits by moving cables to one bridge a group, and joins by moving them back", () => {
    expect(lines(partitionCommands(plan, [["m1"], ["m2", "m3"]]))).toEqual([
      "-n keelson-123-7 link add g0 type bridge",
      "-n keelson-123-7 link set g0 up",
      "-n keelson-123-7 link set p0 master g0",
      "-n keelson-123-7 link add g1 type bridge",
      "-n keelson-123-7 link set g1 up",
      "-n keelson-123-7 link set p1 master g1",
      "-n keelson-123-7 link set p2 master g1",
    ]);
    expect(lines(healCommands(plan, 1))).toEqual([
      "-n keelson-123-7 link set p0 master peer",
      "-n keelson-123-7 link set p1 master peer",
      "-n keelson-123-7 link set p2 master peer",
      "-n keelson-123-7 link delete g0",
    ]);
  });
});

it("completes the groups of a partition, and refuses those that make no sense", () => {
  expect(completeGroups(["a", "b", "c"], [["a"]])).toEqual([["a"], ["b", "c"]]);
  expect(completeGroups(["a", "b"], [["a"], ["b"]])).toEqual([["a"], ["b"]]);
  expect(() => completeGroups(["a"], [["x"]])).toThrow("there is no machine x");
  expect(() => completeGroups(["a"], [["a"], ["a"]])).toThrow("a is in two groups");
});
