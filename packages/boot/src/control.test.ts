import { Prng } from "@keelson/testkit";
import { describe, expect, it } from "vitest";
import { applySteps, readEsp } from "./apply.ts";
import { Bootlog } from "./bootlog.ts";
import { EspBootControl } from "./control.ts";
import { decideBoot } from "./core/decide.ts";
import { formatGrubEntry } from "./core/entry-file.ts";
import { formatEntryName } from "./core/entry-name.ts";
import { encodeGrubenv, grubenvFromView } from "./core/grubenv.ts";
import { ESP_PATHS, grubEntryPath, kernelPaths } from "./core/layout.ts";
import { planTransition } from "./core/plan.ts";
import { readBootState } from "./core/read-state.ts";
import { type BootEntry, type Firmware, type Trial, viewOf } from "./core/state.ts";
import { bootChecksum } from "./deployment.ts";
import { makeDirectories, writeDurably } from "./esp-fs.ts";
import type { BootableDeployment } from "./port.ts";
import { PowerCut, SimEsp, SimSectors } from "./testing/index.ts";

const FIRMWARES: readonly Firmware[] = ["bios", "uefi", "direct"];
const LOADERS = { bios: "grub", uefi: "systemd-boot", direct: "direct" } as const;
const hex = (n: number) => n.toString(16).repeat(64).slice(0, 64);

/** Deployment n has a kernel of its own; `like` shares another's. */
const deployment = (n: number): BootableDeployment => ({ id: `${hex(n)}.0`, path: String(n), version: `${n}.0.0` });
const kernelOf = (n: number) => new Uint8Array(2500).fill(n);
const initramfsOf = (n: number) => new Uint8Array(1200).fill(n + 100);
const bootFiles = async (d: BootableDeployment) => {
  const n = Number(d.path);
  const [kernel, initramfs] = [kernelOf(n), initramfsOf(n)];
  return { kernel, initramfs, bootcsum: bootChecksum(kernel, initramfs), imageArguments: ["quiet", "panic=-1"] };
};

class Machine {
  esp: SimEsp;
  readonly sectors = new SimSectors();
  readonly firmware: Firmware;
  /** What runs now. */
  entry = "keelson-1";

  constructor(esp: SimEsp, firmware: Firmware) {
    this.esp = esp;
    this.firmware = firmware;
  }

  get control(): EspBootControl {
    const cmdline = `quiet keelson.entry=${this.entry} keelson.loader=${LOADERS[this.firmware]}\n`;
    return new EspBootControl({
      esp: this.esp,
      bootlog: new Bootlog(this.sectors),
      cmdline,
      readBootFiles: bootFiles,
    });
  }

  /** What the loader of this machine does: systemd-boot renames a file, GRUB changes its environment. */
  async boot(): Promise<BootEntry> {
    const state = readBootState(await readEsp(this.esp));
    const { entry, next } = decideBoot(state, this.firmware);
    const [before, after] = [viewOf(state, this.firmware).trial, viewOf(next, this.firmware).trial];
    if (this.firmware !== "uefi") {
      await this.esp.writeAt(ESP_PATHS.grubenv, 0, encodeGrubenv(grubenvFromView(next.grub)).subarray(0, 512));
      await this.esp.sync(ESP_PATHS.grubenv);
    } else if (before !== undefined && after !== undefined && before !== after) {
      const name = (t: Trial) =>
        `${ESP_PATHS.entries}/${formatEntryName({ number: entry.number, counters: { left: t.triesLeft, done: t.triesDone } })}`;
      await this.esp.rename(name(before), name(after));
      await this.esp.sync(ESP_PATHS.entries);
    }
    this.entry = entry.id;
    return entry;
  }
}

async function machineWithOne(firmware: Firmware, options: { capacityBytes?: number } = {}): Promise<Machine> {
  const esp = new SimEsp(options);
  await makeDirectories(esp, ESP_PATHS.entries);
  const { kernel, initramfs, bootcsum } = await bootFiles(deployment(1));
  await writeDurably(esp, kernelPaths(bootcsum).kernel, kernel);
  await writeDurably(esp, kernelPaths(bootcsum).initramfs, initramfs);
  const entry: BootEntry = {
    id: "keelson-1",
    number: 1,
    version: "1.0.0",
    deployment: deployment(1).id,
    bootcsum,
    options: `quiet ostree=/ostree/deploy/keelson/deploy/${deployment(1).id} keelson.entry=keelson-1`,
  };
  const target = { entries: [entry], view: { default: entry.id } };
  await applySteps(esp, planTransition(await readEsp(esp), target, { own: firmware, first: "own" }));
  return new Machine(esp, firmware);
}

/** What each firmware would boot from this disk, as the version's number; throws when that could not start. */
async function whatBoots(esp: SimEsp, firmware: Firmware): Promise<number> {
  const { entry } = decideBoot(readBootState(await readEsp(esp)), firmware);
  const { kernel, initramfs } = kernelPaths(entry.bootcsum);
  const files = [await esp.read(kernel), await esp.read(initramfs)];
  if (bootChecksum(files[0] ?? new Uint8Array(), files[1] ?? new Uint8Array()) !== entry.bootcsum) {
    throw new Error(`${firmware} boots ${entry.id}, whose kernel is damaged`);
  }
  const grub = await esp.read(grubEntryPath(entry.id));
  if (firmware !== "uefi" && Buffer.from(grub ?? []).toString() !== formatGrubEntry(entry)) {
    throw new Error(`${firmware} boots ${entry.id}, whose file for GRUB is damaged`);
  }
  return Number(entry.version?.split(".")[0]);
}

/** Runs `work` with the power cut at every operation, and looks at what several such disks would boot. */
async function cutEverywhere(
  make: () => Promise<Machine>,
  work: (machine: Machine) => Promise<unknown>,
  check: (esp: SimEsp, machine: Machine) => Promise<void>,
): Promise<number> {
  for (let cut = 0; ; cut++) {
    const machine = await make();
    machine.esp.operations = 0;
    machine.esp.cutAfter = cut;
    const done = await work(machine).then(
      () => true,
      (error: unknown) => {
        if (!(error instanceof PowerCut)) throw error;
        return false;
      },
    );
    for (let seed = 0; seed < 6; seed++) {
      await check(machine.esp.afterCut(new Prng(BigInt(cut * 100 + seed + 1))), machine);
    }
    if (done) return cut;
  }
}

describe.each(FIRMWARES)("on %s", (firmware) => {
  it("a trial is written, tried three times, and given up with its reason", async () => {
    const m = await machineWithOne(firmware);
    const entry = await m.control.writeTrial(deployment(2));
    expect(entry).toMatchObject({ id: "keelson-2", version: "2.0.0", deployment: deployment(2).id });
    expect(entry.options).toBe(
      `quiet panic=-1 ostree=/ostree/deploy/keelson/deploy/${deployment(2).id} keelson.entry=keelson-2`,
    );
    for (let i = 0; i < 3; i++) {
      expect((await m.boot()).id).toBe("keelson-2");
      expect(await m.control.state()).toMatchObject({ bootedIsTrial: true, trial: { triesLeft: 2 - i } });
    }
    expect((await m.boot()).id).toBe("keelson-1");
    const state = await m.control.state();
    expect(state.rolledBack).toMatchObject({
      id: "keelson-2",
      version: "2.0.0",
      reason: { stage: "none", attempts: 3 },
    });
    await m.control.markGood();
    const after = await m.control.state();
    expect(after.rolledBack).toBeUndefined();
    expect(after.entries.map((e) => e.id)).toEqual(["keelson-1"]);
    // Numbers are not used again.
    expect((await m.control.writeTrial(deployment(3))).id).toBe("keelson-2");
  });

  it("a good trial becomes the last good one, in both loaders; the old one stays for a rollback by hand", async () => {
    const m = await machineWithOne(firmware);
    await m.control.writeTrial(deployment(2));
    await m.boot();
    await m.control.recordStage("userspace");
    await m.control.markGood();
    const state = await m.control.state();
    expect([state.grub, state.systemdBoot]).toEqual([{ default: "keelson-2" }, { default: "keelson-2" }]);
    expect(state.entries.map((e) => e.id)).toEqual(["keelson-1", "keelson-2"]);
    expect(state.attempts.at(-1)).toMatchObject({ entry: "keelson-2", stage: "good" });

    const back = await m.control.rollback();
    expect(back).toMatchObject({ id: "keelson-3", deployment: deployment(1).id });
    expect((await m.boot()).version).toBe("1.0.0");
    await m.control.markGood();
    expect((await m.control.state()).entries.map((e) => [e.id, e.version])).toEqual([
      ["keelson-2", "2.0.0"],
      ["keelson-3", "1.0.0"],
    ]);
  });

  it("a red gate goes back at once, and says why", async () => {
    const m = await machineWithOne(firmware);
    await m.control.writeTrial(deployment(2));
    await m.boot();
    await m.control.recordStage("gate", "fleetd: no answer");
    expect((await m.control.rollback()).id).toBe("keelson-1");
    expect((await m.boot()).id).toBe("keelson-1");
    const { rolledBack } = await m.control.state();
    expect(rolledBack?.reason.text).toBe("the health gate was red (fleetd: no answer); 1 attempt");
  });

  it("a trial that waits for its first boot survives markGood", async () => {
    const m = await machineWithOne(firmware);
    await m.control.writeTrial(deployment(2));
    await m.control.markGood();
    expect((await m.boot()).id).toBe("keelson-2");
  });

  it("a newer trial replaces one that was never tried", async () => {
    const m = await machineWithOne(firmware);
    await m.control.writeTrial(deployment(2));
    expect((await m.control.writeTrial(deployment(3))).id).toBe("keelson-3");
    const state = await m.control.state();
    expect(state.entries.map((e) => e.id)).toEqual(["keelson-1", "keelson-3"]);
    expect((await readEsp(m.esp)).kernels.size).toBe(2);
  });

  it("the power may go at any instant of writing a trial: the old or the new system boots, and it can be done again", async () => {
    const seen = new Set<number>();
    const cuts = await cutEverywhere(
      () => machineWithOne(firmware),
      (m) => m.control.writeTrial(deployment(2)),
      async (esp) => {
        for (const f of FIRMWARES) seen.add(await whatBoots(esp, f));
        const again = new Machine(esp, firmware);
        await again.control.writeTrial(deployment(2));
        for (const f of FIRMWARES) expect(await whatBoots(esp, f)).toBe(2);
        for (let i = 0; i < 3; i++) expect((await again.boot()).version).toBe("2.0.0");
        expect((await again.boot()).version).toBe("1.0.0");
      },
    );
    expect(cuts).toBeGreaterThan(15);
    expect(seen).toEqual(new Set([1, 2]));
  });

  it("likewise of marking it good: what ran still boots, and it can be marked again", async () => {
    await cutEverywhere(
      async () => {
        const m = await machineWithOne(firmware);
        await m.control.writeTrial(deployment(2));
        await m.boot();
        return m;
      },
      (m) => m.control.markGood(),
      async (esp, m) => {
        expect(await whatBoots(esp, firmware)).toBe(2);
        for (const f of FIRMWARES) expect([1, 2]).toContain(await whatBoots(esp, f));
        const again = new Machine(esp, firmware);
        again.entry = m.entry;
        await again.control.markGood();
        for (const f of FIRMWARES) expect(await whatBoots(esp, f)).toBe(2);
        expect((await again.control.state()).trial).toBeUndefined();
      },
    );
  });

  it("likewise of going back: once it is done, every loader boots the old system", async () => {
    await cutEverywhere(
      async () => {
        const m = await machineWithOne(firmware);
        await m.control.writeTrial(deployment(2));
        await m.boot();
        return m;
      },
      (m) => m.control.rollback(),
      async (esp, m) => {
        for (const f of FIRMWARES) expect([1, 2]).toContain(await whatBoots(esp, f));
        const again = new Machine(esp, firmware);
        again.entry = m.entry;
        await again.control.rollback();
        for (const f of FIRMWARES) expect(await whatBoots(esp, f)).toBe(1);
      },
    );
  });
});

it("a disk whose syncs lie is caught by the same check", async () => {
  let damaged = 0;
  await cutEverywhere(
    async () => {
      const m = await machineWithOne("bios");
      m.esp.lyingSync = true;
      return m;
    },
    (m) => m.control.writeTrial(deployment(2)),
    async (esp) => {
      for (const f of FIRMWARES) await whatBoots(esp, f).catch(() => damaged++);
    },
  );
  expect(damaged).toBeGreaterThan(0);
});

describe("the ESP's room", () => {
  const KERNEL_BYTES = 3072 + 2048;

  it("is checked before anything is written", async () => {
    const m = await machineWithOne("bios", { capacityBytes: KERNEL_BYTES + 70_000 });
    const before = await readEsp(m.esp);
    await expect(m.control.writeTrial(deployment(2))).rejects.toThrow(
      /the ESP has \d+ bytes free, and a kernel .* needs/,
    );
    expect(await readEsp(m.esp)).toEqual(before);
  });

  it("is made by removing a failed trial, and then the entry before the last good one", async () => {
    const m = await machineWithOne("bios", { capacityBytes: 2 * KERNEL_BYTES + 64 * 1024 + 14_000 });
    for (let n = 2; n < 8; n++) {
      await m.control.writeTrial(deployment(n));
      if (n % 2 === 0) {
        await m.boot();
        await m.control.markGood();
      } else {
        for (let i = 0; i < 4; i++) await m.boot();
      }
      expect((await readEsp(m.esp)).kernels.size).toBeLessThanOrEqual(3);
    }
    expect((await m.control.state()).default).toBe(m.entry);
  });

  it("is not used twice for equal kernels", async () => {
    const m = await machineWithOne("uefi");
    const same = { ...deployment(1), id: `${hex(9)}.0` };
    expect((await m.control.writeTrial(same)).bootcsum).toBe((await m.control.state()).entries[0]?.bootcsum);
    expect((await readEsp(m.esp)).kernels.size).toBe(1);
  });
});

describe("bad input changes nothing", () => {
  it.each([
    [
      "tries",
      (m: Machine) => m.control.writeTrial(deployment(2), { tries: 10 }),
      /10 tries: a whole number from 1 to 9/,
    ],
    [
      "a deployment's name",
      (m: Machine) => m.control.writeTrial({ ...deployment(2), id: "../x" }),
      /is not <commit>.<serial>/,
    ],
    [
      "arguments",
      (m: Machine) => m.control.writeTrial({ ...deployment(2), kernelArgs: ["a'b"] }),
      /kernel argument "a'b"/,
    ],
    ["nothing before it", (m: Machine) => m.control.rollback(), /no earlier system to go back to/],
  ])("%s", async (_title, work, want) => {
    const m = await machineWithOne("bios");
    const before = await readEsp(m.esp);
    await expect((async () => await work(m))()).rejects.toThrow(want);
    expect(await readEsp(m.esp)).toEqual(before);
  });

  it("a system that was booted by hand cannot be marked", async () => {
    const m = await machineWithOne("bios");
    m.entry = "keelson-77";
    await expect(m.control.markGood()).rejects.toThrow(/entry keelson-77 .* is not on the ESP/);
  });
});
