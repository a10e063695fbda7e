import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { expect, it } from "vitest";
import { eventually } from "../src/eventually.ts";
import { freePort } from "../src/free-port.ts";
import { runProcess, startProcess } from "../src/process-handle.ts";
import { tempDir } from "../src/temp-dir.ts";

const node = process.execPath;

it("waits for a line, a port and the end", async () => {
  const port = await freePort();
  const program = `require("net").createServer().listen(${port}, "127.0.0.1", () => console.log("up at " + ${port}));
    setTimeout(() => {}, 60000)`;
  await using handle = startProcess(node, ["-e", program]);
  await handle.waitForPort(port);
  expect((await handle.waitForLine(/up at (\d+)/))[1]).toBe(String(port));
  handle.kill("SIGKILL");
  expect(await handle.waitForExit()).toEqual({ code: null, signal: "SIGKILL" });
});

it("kills grandchildren too", async () => {
  let grandchild = 0;
  {
    await using handle = startProcess("sh", ["-c", "sleep 600 & echo child $!; wait"]);
    grandchild = Number((await handle.waitForLine(/child (\d+)/))[1]);
    expect(isAlive(grandchild)).toBe(true);
  }
  await eventually(() => !isAlive(grandchild));
});

it("tells why a wait cannot end well", async () => {
  await using handle = startProcess("sh", ["-c", "echo oops >&2; exit 3"], { name: "prog" });
  await expect(handle.waitForLine(/never/)).rejects.toThrow(/prog ended with code 3 before a line .*\n {2}oops/);
  await expect(runProcess("/no/such/program")).rejects.toThrow(/cannot start \/no\/such\/program/);
  await expect(runProcess("sleep", ["60"], { timeoutMs: 50 })).rejects.toMatchObject({ code: "ERR_TEST_TIMEOUT" });
});

it("runs a program with input and gives its output", async () => {
  const result = await runProcess("sh", ["-c", "cat; echo err >&2; printf end; exit 4"], { input: "in\n" });
  expect(result).toEqual({ code: 4, signal: null, stdout: "in\nend\n", stderr: "err\n" });
});

it("tries until a condition holds, and says what did not", async () => {
  let n = 0;
  expect(await eventually(() => ++n === 3 && "done")).toBe("done");
  const failing = () => {
    throw new Error("not yet");
  };
  const error: unknown = await eventually(failing, { timeoutMs: 20, what: "peace" }).catch((e: unknown) => e);
  expect(error).toMatchObject({ message: "peace did not come true within 20 ms", cause: { message: "not yet" } });
});

it("gives ports that are free and directories that vanish", async () => {
  const ports = await Promise.all(Array.from({ length: 10 }, freePort));
  expect(new Set(ports).size).toBe(10);
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(ports[0], "127.0.0.1", resolve));
  server.close();
  let path = "";
  {
    await using dir = await tempDir();
    path = dir.path;
    expect(existsSync(dir.path)).toBe(true);
  }
  expect(existsSync(path)).toBe(false);
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
