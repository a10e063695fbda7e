import { expect, it } from "vitest";
import type { Bench, UnitManagerSupports } from "./harness.ts";

const SLEEPER = "[Service]\nExecStart=/bin/sleep 1000\n";

/** Loading, naming, adopting. */
export function loadTests(bench: Bench, supports: UnitManagerSupports): void {
  it("keeps a unit's text byte for byte and lists it as inactive", async () => {
    const name = bench.name("text");
    const content = "# é comment\r\n\r\n[Service]\r\nExecStart=/bin/sleep \\\r\n  1000";
    await bench.manager.load([{ name, content }]);
    expect(await bench.manager.content(name)).toBe(content);
    const status = (await bench.manager.list()).find((s) => s.name === name);
    expect(status).toMatchObject({ loadState: "loaded", activeState: "inactive", subState: "dead" });
    expect(status?.mainPid).toBeUndefined();
  });

  it("lists by name, and forgets what is unloaded", async () => {
    const names = ["c", "a", "b"].map((short) => bench.name(short));
    await bench.manager.load(names.map((name) => ({ name, content: SLEEPER })));
    const mine = async () => (await bench.manager.list()).map((s) => s.name).filter((n) => names.includes(n));
    expect(await mine()).toEqual(names.toSorted());
    await bench.manager.unload([bench.name("b"), bench.name("never-loaded")]);
    expect(await mine()).toEqual([bench.name("a"), bench.name("c")]);
    expect(await bench.manager.content(bench.name("b"))).toBeUndefined();
    expect((await bench.manager.status(bench.name("b"))).loadState).toBe("not-found");
  });

  it("loads all units or none", async () => {
    const good = { name: bench.name("good"), content: SLEEPER };
    await expect(bench.manager.load([good, { name: "nonsense", content: SLEEPER }])).rejects.toThrow(
      'unit name must contain "."',
    );
    const bad = { name: bench.name("bad"), content: "[Service]\nExecStart" };
    await expect(bench.manager.load([good, bad])).rejects.toThrow("line 2, column 1");
    await expect(bench.manager.load([good, { name: "../../etc/passwd.service", content: SLEEPER }])).rejects.toThrow(
      "invalid character '/'",
    );
    expect(await bench.manager.content(good.name)).toBeUndefined();
  });

  it("refuses to act on units that were never loaded", async () => {
    const name = bench.name("unknown");
    await expect(bench.manager.start(name)).rejects.toMatchObject({ code: "ERR_UNIT_NOT_LOADED" });
    await expect(bench.manager.stop(name)).rejects.toMatchObject({ code: "ERR_UNIT_NOT_LOADED" });
    const lines = bench.manager.journal(name, { lines: 1 })[Symbol.asyncIterator]();
    await expect(lines.next()).rejects.toMatchObject({ code: "ERR_UNIT_NOT_LOADED" });
    expect(await bench.manager.content(name)).toBeUndefined();
    expect(await bench.manager.status(name)).toMatchObject({
      loadState: "not-found",
      activeState: "inactive",
      subState: "dead",
    });
  });

  it("tells a unit file with bad settings by its load state, and refuses to start it", async () => {
    const name = await bench.service("no-exec", ["Type=simple"]);
    expect((await bench.manager.status(name)).loadState).toBe("bad-setting");
    await expect(bench.manager.start(name)).rejects.toMatchObject({ code: "ERR_UNIT_MANAGER" });
  });

  it("lets a changed file alone touch nothing that runs, and uses it at the next start", async () => {
    const name = await bench.service("changed", ["ExecStart=/bin/sh -c 'echo mark:one; exec sleep 1000'"]);
    expect(await bench.manager.start(name)).toBe("done");
    const before = await bench.until(name, { subState: "running" });
    await bench.service("changed", ["ExecStart=/bin/sh -c 'echo mark:two; exec sleep 1000'"]);
    expect(await bench.manager.status(name)).toMatchObject({ mainPid: before.mainPid, activeState: "active" });
    expect(await bench.manager.content(name)).toContain("mark:two");
    expect(await bench.manager.stop(name)).toBe("done");
    expect(await bench.manager.start(name)).toBe("done");
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toEqual(["one", "two"]);
  });

  it("starts a unit afresh after it failed, was unloaded and loaded again", async () => {
    const name = await bench.service("again", ["Type=oneshot", "ExecStart=/bin/false"]);
    expect(await bench.manager.start(name)).toBe("failed");
    await bench.until(name, { activeState: "failed" });
    await bench.manager.unload([name]);
    await bench.service("again", ["ExecStart=/bin/sleep 1000"]);
    await bench.until(name, { loadState: "loaded", activeState: "inactive" });
    expect(await bench.manager.start(name)).toBe("done");
    await bench.until(name, { activeState: "active" });
  });

  it("runs instances, which know their name, beside their template", async () => {
    const template = bench.name("t@");
    const content = "[Service]\nType=oneshot\nExecStart=/bin/echo mark:%i %p %n\n";
    const instances = [bench.name("t@1"), bench.name("t@b")];
    await bench.manager.load([template, ...instances].map((name) => ({ name, content })));
    expect(await bench.manager.content(template)).toBe(content);
    expect((await bench.manager.list()).map((s) => s.name)).not.toContain(template);
    for (const name of instances) expect(await bench.manager.start(name)).toBe("done");
    const [one = ""] = instances;
    const prefix = one.slice(0, one.indexOf("@"));
    await expect.poll(() => bench.marks(one), { timeout: 10_000 }).toEqual([`1 ${prefix} ${one}`]);
    await bench.manager.unload([template]);
  });

  it("hands its units over to the next manager", async () => {
    const name = await bench.service("adopted", ["ExecStart=/bin/sleep 1000"]);
    const content = await bench.manager.content(name);
    expect(await bench.manager.start(name)).toBe("done");
    const before = await bench.until(name, { subState: "running" });
    const next = await bench.reopen();
    expect(await next.content(name)).toBe(content);
    const after = (await next.list()).find((s) => s.name === name);
    expect(after).toMatchObject(
      supports.outlivesClients
        ? { activeState: "active", mainPid: before.mainPid, invocationId: before.invocationId }
        : { activeState: "inactive", loadState: "loaded" },
    );
    expect(await next.start(name)).toBe("done");
    expect(await next.stop(name)).toBe("done");
  });
}
