import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { MachineStateError } from "../errors.ts";
import type { ExecResult } from "../port.ts";
import { waitFor } from "../wait.ts";

const CONNECT_TIMEOUT_MS = 20_000;
/** Time beyond the command's own limit that its answer may take under emulation. */
const ANSWER_GRACE_MS = 30_000;
/** timeout(1) of coreutils ended the command. */
const EXIT_TIMEOUT = 124;

/** One command for the script `debug-channel` of the image: id, seconds, script. Pure. */
export function encodeCommand(id: number, timeoutMs: number, command: string): string {
  return `${id} ${Math.max(1, Math.ceil(timeoutMs / 1000))} ${Buffer.from(command).toString("base64")}\n`;
}

/** Its answer, or undefined for a line that is none. Pure. */
export function decodeAnswer(line: string): { id: string; result: ExecResult } | undefined {
  const [id, code, stdout, stderr] = line.trim().split(" ");
  if (id === undefined || code === undefined || !/^\d+$/.test(code)) return undefined;
  const text = (part: string | undefined) =>
    part === undefined || part === "-" ? "" : Buffer.from(part, "base64").toString();
  return { id, result: { exitCode: Number(code), stdout: text(stdout), stderr: text(stderr) } };
}

/** The host's end of the virtio port on which a test VM takes commands; one at a time. */
export class DebugChannel implements Disposable {
  readonly #socket: Socket;
  readonly #waiting = new Map<string, (result: ExecResult | undefined) => void>();
  readonly #ready = Promise.withResolvers<void>();
  #queue: Promise<unknown> = Promise.resolve();
  #nextId = 1;
  #rest = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#ready.promise.catch(() => {});
    socket.setEncoding("utf8").on("data", (chunk) => this.#onData(String(chunk)));
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      this.#ready.reject(new MachineStateError("the machine ended before it took commands"));
      for (const answer of this.#waiting.values()) answer(undefined);
      this.#waiting.clear();
    });
  }

  static async connect(path: string, signal?: AbortSignal): Promise<DebugChannel> {
    const socket = await waitFor("the debug channel", () => open(path), { timeoutMs: CONNECT_TIMEOUT_MS, signal });
    return new DebugChannel(socket);
  }

  /** Resolves when the guest takes commands. @throws MachineStateError when it ended before */
  ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Runs `sh -c` on the machine. @throws MachineStateError when it takes too long or the machine ends meanwhile */
  exec(command: string, timeoutMs: number): Promise<ExecResult> {
    const next = this.#queue.then(() => this.#exec(command, timeoutMs));
    this.#queue = next.catch(() => {});
    return next;
  }

  async #exec(command: string, timeoutMs: number): Promise<ExecResult> {
    await this.ready();
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<ExecResult | undefined>();
    this.#waiting.set(String(id), resolve);
    if (this.#socket.destroyed) resolve(undefined);
    else this.#socket.write(encodeCommand(id, timeoutMs, command));
    const timer = setTimeout(() => resolve(undefined), timeoutMs + ANSWER_GRACE_MS);
    const result = await promise;
    clearTimeout(timer);
    this.#waiting.delete(String(id));
    if (result === undefined) throw new MachineStateError(`the machine did not answer to: ${command}`);
    if (result.exitCode === EXIT_TIMEOUT) {
      throw new MachineStateError(`command did not end within ${timeoutMs / 1000} s: ${command}`);
    }
    return result;
  }

  #onData(chunk: string): void {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const answer = decodeAnswer(line);
      if (answer?.id === "ready") this.#ready.resolve();
      else if (answer !== undefined) this.#waiting.get(answer.id)?.(answer.result);
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

async function open(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, "connect");
  return socket;
}
