import { type ProcessHandle, startProcess } from "@keelson/testkit";
import { ROOT } from "./tools.ts";

/** `apps/update-server` on loopback, as a user would start it. */
export class UpdateServerProcess implements AsyncDisposable {
  readonly port: number;
  /** The folder with `releases/` and `repo/` that it serves; `osctl publish` writes there. */
  readonly root: string;
  #process: ProcessHandle;

  private constructor(root: string, port: number, process: ProcessHandle) {
    this.root = root;
    this.port = port;
    this.#process = process;
  }

  static async start(root: string): Promise<UpdateServerProcess> {
    const server = launch(root, 0);
    const [, port] = await server.waitForLine(/^http:\/\/[^/]+:(\d+)/);
    return new UpdateServerProcess(root, Number(port), server);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Ends it at once, in the middle of whatever it answers. */
  async kill(): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }

  /** Starts it again on its port. */
  async restart(): Promise<void> {
    await this.kill();
    this.#process = launch(this.root, this.port);
    await this.#process.waitForLine(/^http:\/\/[^/]+:(\d+)/);
  }

  /** What it has said. */
  output(): string {
    return this.#process.output();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

function launch(root: string, port: number): ProcessHandle {
  const main = `${ROOT}apps/update-server/src/main.ts`;
  return startProcess(process.execPath, [main, "--root", root, "--listen", `127.0.0.1:${port}`], {
    name: "update-server",
  });
}
