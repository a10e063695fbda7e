import { describe, expect, it } from "vitest";
import { linesOf } from "../journal.ts";
import { etcdEnv, fleetEnv, NATIVE_TIMING, networkFile } from "../node-config.ts";
import { kernelCommandLine, qemuArguments, type VmOptions } from "./arguments.ts";
import { deviceArguments } from "./cards.ts";
import { bootTimes } from "./console.ts";
import { decodeAnswer, encodeCommand } from "./debug-channel.ts";

const nodes = ["m1", "m2"].map((name, i) => ({
  spec: { name, machineId: `${i}`.repeat(32), metadata: { disk: "ssd", quote: 'a"b' } },
  peerAddress: `10.77.0.${i + 11}`,
  hostAddress: "10.0.2.15",
}));
const [m1] = nodes;

describe("what a machine is told", () => {
  it("names all members to etcd, and where others reach this one", () => {
    const env = etcdEnv(m1!, nodes, NATIVE_TIMING);
    expect(env).toContain('ETCD_INITIAL_CLUSTER="m1=http://10.77.0.11:2380,m2=http://10.77.0.12:2380"\n');
    expect(env).toContain('ETCD_ADVERTISE_CLIENT_URLS="http://10.77.0.11:2379"\n');
    expect(env).toContain('ETCD_ELECTION_TIMEOUT="1000"\n');
  });

  it("gives fleet its own etcd first, and quotes what systemd would read", () => {
    const env = fleetEnv(m1!, nodes, NATIVE_TIMING);
    expect(env).toContain('FLEET_ETCD_SERVERS="http://127.0.0.1:2379,http://10.77.0.12:2379"\n');
    expect(env).toContain('FLEET_METADATA="disk=ssd,quote=a\\"b"\n');
  });

  it("sets its cards by address", () => {
    expect(networkFile("52:54:00:6b:00:01", ["10.77.0.11/24", "10.77.1.11/24"])).toContain(
      "MACAddress=52:54:00:6b:00:01\n\n[Network]\nAddress=10.77.0.11/24\nAddress=10.77.1.11/24\n",
    );
  });
});

describe("QEMU's arguments", () => {
  const options: VmOptions = {
    acceleration: "tcg",
    cpus: 1,
    memoryMiB: 512,
    firmware: { kind: "direct", kernel: "/i/vmlinuz", initramfs: "/i/initramfs.cpio" },
    disk: { file: "/a,b/disk.raw", format: "raw" },
    machineId: "0123456789abcdef0123456789abcdef",
    hostname: "m1",
    fwCfg: { "opt/keelson/debug": "/a,b/debug" },
  };

  it("double the commas of paths", () => {
    const args = qemuArguments(options);
    expect(args).toContain("if=none,id=root,file=/a,,b/disk.raw,format=raw,cache=unsafe");
    expect(args).toContain("name=opt/keelson/debug,file=/a,,b/debug");
  });

  it("leave the kernel's defences alone where CPUs are real", () => {
    const line = (acceleration: "kvm" | "tcg") => {
      const args = qemuArguments({ ...options, acceleration });
      return args[args.indexOf("-append") + 1];
    };
    expect(line("tcg")).toContain("mitigations=off");
    expect(line("kvm")).not.toContain("mitigations=off");
    expect(line("kvm")).toContain("panic=-1");
  });

  it("give a boot entry's own command line first, and no word twice", () => {
    const firmware = {
      kind: "direct",
      kernel: "/k",
      initramfs: "/i",
      options: "quiet ostree=/x keelson.entry=keelson-2",
    };
    const line = kernelCommandLine({ ...options, firmware: firmware as VmOptions["firmware"] });
    expect(line).toMatch(/^quiet ostree=\/x keelson.entry=keelson-2 keelson.loader=direct console=ttyS0 /);
    expect(line.match(/quiet/g)).toHaveLength(1);
    expect(line).not.toContain("root=");
  });

  it("end QEMU at a reset only where it loads the kernel", () => {
    expect(qemuArguments(options)).toContain("-no-reboot");
    const bios = qemuArguments({ ...options, firmware: { kind: "bios" } });
    expect(bios.join(" ")).not.toMatch(/-no-reboot|-kernel|-append/);
    expect(bios.join(" ")).toContain("-uuid 01234567-89ab-cdef-0123-456789abcdef");
    const uefi = qemuArguments({ ...options, firmware: { kind: "uefi", code: "/c.fd", variables: "/v,1.fd" } });
    expect(uefi).toContain("if=pflash,unit=0,format=raw,readonly=on,file=/c.fd");
    expect(uefi).toContain("if=pflash,unit=1,format=raw,file=/v,,1.fd");
  });

  it("pass flushes on to an NBD server", () => {
    const drive = qemuArguments({ ...options, disk: { nbdSocket: "/d.sock" } }).find((word) => word.includes("nbd"));
    expect(drive).toContain("file.server.path=/d.sock,cache=writeback");
  });

  it("let nobody out of QEMU's own network but by a forwarded port", () => {
    const mac = { peer: "a", host: "b" };
    const words = deviceArguments(mac, { kind: "user", forwards: { 2379: 40_001 } });
    expect(words).toContain("user,id=host,restrict=on,hostfwd=tcp:127.0.0.1:40001-10.0.2.15:2379");
  });
});

it("passes commands and answers through the debug channel as one line each", () => {
  expect(encodeCommand(7, 1500, "echo 'a b'\nfalse")).toBe(
    `7 2 ${Buffer.from("echo 'a b'\nfalse").toString("base64")}\n`,
  );
  expect(decodeAnswer(`7 3 ${Buffer.from("out\n").toString("base64")} -\n`)).toEqual({
    id: "7",
    result: { exitCode: 3, stdout: "out\n", stderr: "" },
  });
  expect(decodeAnswer("garbage")).toBeUndefined();
});

it("reads boot times from a console and a program's lines from a journal", () => {
  const report = (s: string) => `x keelson: m1 reached multi-user.target ${s} s after the kernel started\n`;
  expect(bootTimes(report("6.123") + report("10.000"))).toEqual([6.123, 10]);
  const journal = "t1 etcd[1]: a\nt2 fleetd[2]: b\n      more of b\nt3 etcd[1]: c\n";
  expect(linesOf(journal, "fleetd")).toBe("t2 fleetd[2]: b\n      more of b\n");
  expect(linesOf(journal, "etcd")).toBe("t1 etcd[1]: a\nt3 etcd[1]: c\n");
});
