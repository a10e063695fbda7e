import { expect, it } from "vitest";
import { createLogger } from "./logger.ts";

function capture() {
  const lines: string[] = [];
  return { lines, destination: { write: (s: string) => void lines.push(s) } };
}

it("writes level, ts, component and msg, and prints ids in hex and errors with their causes", () => {
  const { lines, destination } = capture();
  const log = createLogger({ component: "etcd", destination }).child({ member: 0xabcn });
  log.info("ready", { error: new Error("outer", { cause: new Error("inner") }) });
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    level: "info",
    component: "etcd",
    member: "abc",
    msg: "ready",
    error: "outer: inner",
  });
});

it("drops lines below its level and prefixes journald's priority", () => {
  const { lines, destination } = capture();
  const log = createLogger({ component: "x", level: "warn", destination, journaldPriority: true });
  log.info("no");
  log.error("yes");
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^<3>\{/);
});
