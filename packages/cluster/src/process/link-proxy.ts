import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Longest request head that is looked at for the dialler's name. */
const HEAD_BYTES_MAX = 8192;

export interface LinkProxyOptions {
  /** Where connections go. */
  readonly target: { readonly host: string; readonly port: number };
  /**
   * Who dials, told from the head of its first request (up to the blank line), or undefined when that cannot be
   * told, which is taken as a stranger who is let through.
   */
  readonly identify: (head: string) => string | undefined;
  /** Whether traffic of `from` passes now. */
  readonly isOpen: (from: string | undefined) => boolean;
}

/**
 * A TCP proxy on loopback that stands for one link of the network. A closed link is a black hole, as a real
 * partition is: bytes are accepted and go nowhere, connections neither fail nor answer; what was already open
 * stalls. Healing drops the stalled connections, so that both ends dial anew.
 */
export class LinkProxy implements AsyncDisposable {
  readonly #options: LinkProxyOptions;
  readonly #server: Server;
  readonly #links = new Set<Link>();

  private constructor(options: LinkProxyOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async listen(options: LinkProxyOptions, port = 0): Promise<LinkProxy> {
    const proxy = new LinkProxy(options);
    proxy.#server.listen(port, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Applies a changed `isOpen` to the connections there are. */
  update(): void {
    for (const link of this.#links) link.update(this.#options.isOpen(link.from));
  }

  #accept(client: Socket): void {
    client.on("error", () => client.destroy());
    let head = Buffer.alloc(0);
    const onData = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0 && head.length < HEAD_BYTES_MAX) return;
      client.off("data", onData);
      client.pause();
      this.#connect(
        client,
        head,
        this.#options.identify(head.subarray(0, end < 0 ? head.length : end).toString("latin1")),
      );
    };
    client.on("data", onData);
  }

  #connect(client: Socket, head: Buffer, from: string | undefined): void {
    const link = new Link(client, head, from, this.#options.target);
    this.#links.add(link);
    client.once("close", () => this.#links.delete(link));
    link.update(this.#options.isOpen(from));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const link of this.#links) link.destroy();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}

class Link {
  readonly from: string | undefined;
  readonly #client: Socket;
  readonly #head: Buffer;
  readonly #target: { readonly host: string; readonly port: number };
  #server: Socket | undefined;
  #stalled = false;

  constructor(
    client: Socket,
    head: Buffer,
    from: string | undefined,
    target: { readonly host: string; readonly port: number },
  ) {
    this.#client = client;
    this.#head = head;
    this.from = from;
    this.#target = target;
  }

  update(open: boolean): void {
    if (!open) {
      this.#stalled = true;
      this.#client.unpipe();
      this.#server?.unpipe();
      this.#client.pause();
      this.#server?.pause();
    } else if (this.#stalled) {
      this.destroy();
    } else if (this.#server === undefined) {
      this.#open();
    }
  }

  #open(): void {
    const server = connect(this.#target);
    this.#server = server;
    for (const [a, b] of [
      [server, this.#client],
      [this.#client, server],
    ] as const) {
      a.setNoDelay(true);
      a.on("error", () => b.destroy());
      a.once("close", () => b.destroy());
    }
    server.write(this.#head);
    server.pipe(this.#client);
    this.#client.pipe(server);
  }

  destroy(): void {
    this.#client.destroy();
    this.#server?.destroy();
  }
}

/** The value of an HTTP header in a request head. Pure. */
export function headerOf(head: string, name: string): string | undefined {
  const wanted = `${name.toLowerCase()}:`;
  return head
    .split("\r\n")
    .find((line) => line.toLowerCase().startsWith(wanted))
    ?.slice(wanted.length)
    .trim();
}
