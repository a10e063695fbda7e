import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { waitFor } from "../wait.ts";
import { encodeFrame, FrameReader } from "./frames.ts";
import { Hub } from "./hub.ts";

/** A card that is plugged into the hub, and the texts of the frames it got. */
async function plug(path: string): Promise<{ socket: Socket; got: string[] }> {
  const socket = connect(path);
  await once(socket, "connect");
  const reader = new FrameReader();
  const got: string[] = [];
  socket.on("data", (chunk: Buffer) => {
    for (const frame of reader.push(chunk)) got.push(Buffer.from(frame.subarray(14)).toString());
  });
  return { socket, got };
}

const broadcast = (from: string, text: string) =>
  encodeFrame(Buffer.concat([Buffer.from(`ffffffffffff${from}0800`, "hex"), Buffer.from(text)]));

it("carries frames between sockets, cuts, heals, and takes a machine back that starts again", async () => {
  const dir = await mkdtemp(join(tmpdir(), "keelson-hub-"));
  {
    await using hub = new Hub();
    for (const name of ["a", "b"]) await hub.addPort(name, join(dir, name));
    const a = await plug(join(dir, "a"));
    let b = await plug(join(dir, "b"));
    const arrives = (text: string) => waitFor(text, () => b.got.includes(text), { timeoutMs: 5000 });

    await waitFor("both ports", () => (a.socket.write(broadcast("525400000001", "one")), b.got.length > 0), {
      timeoutMs: 5000,
    });
    hub.partition([["a"], ["b"]]);
    a.socket.write(broadcast("525400000001", "lost"));
    b.socket.write(broadcast("525400000002", "lost too"));
    hub.heal();
    a.socket.write(broadcast("525400000001", "two"));
    await arrives("two");

    b.socket.destroy();
    b = await plug(join(dir, "b"));
    await waitFor("b again", () => (a.socket.write(broadcast("525400000001", "three")), b.got.includes("three")), {
      timeoutMs: 5000,
    });
    a.socket.destroy();
    b.socket.destroy();
  }
  await rm(dir, { recursive: true });
});

it("drops a peer that does not speak QEMU's framing", () => {
  expect(() => new FrameReader().push(Buffer.from("GET / HTTP/1.1\r\n"))).toThrow(RangeError);
});

it("cuts any stream into the frames that went in, however it is chopped", () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 });
  fc.assert(
    fc.property(frames, fc.integer({ min: 1, max: 50 }), (list, step) => {
      const stream = Buffer.concat(list.map((frame) => encodeFrame(frame)));
      const reader = new FrameReader();
      const out: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += step) out.push(...reader.push(stream.subarray(at, at + step)));
      expect(out.map((f) => Buffer.from(f))).toEqual(list.map((f) => Buffer.from(f)));
    }),
  );
});
