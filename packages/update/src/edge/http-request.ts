import { type IncomingHttpHeaders, type RequestOptions, request as requestHttp } from "node:http";

/** One bounded request. */
export interface HttpAsk {
  /** Where to: a URL, or a path on a unix socket. */
  readonly to: URL | { readonly socketPath: string; readonly path: string };
  readonly method?: "GET" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  /** For all of it. */
  readonly timeoutMs: number;
  readonly bytesMax: number;
  readonly signal?: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Asks over HTTP. Redirects are not followed. Rejects with Node's error, or with a text that says what was exceeded. */
export async function ask(what: HttpAsk): Promise<HttpAnswer> {
  const { to, timeoutMs, bytesMax } = what;
  const late = AbortSignal.timeout(timeoutMs);
  const signal = what.signal === undefined ? late : AbortSignal.any([late, what.signal]);
  const options: RequestOptions = {
    method: what.method ?? "GET",
    headers: { ...what.headers },
    signal,
    agent: false,
    ...(to instanceof URL ? {} : to),
  };
  const isTls = to instanceof URL && to.protocol === "https:";
  const send = isTls ? (await import("node:https")).request : requestHttp;
  return await new Promise((resolve, reject) => {
    const fail = (error: Error) =>
      reject(late.aborted && what.signal?.aborted !== true ? new Error(`no answer within ${timeoutMs} ms`) : error);
    const request = to instanceof URL ? send(to, options) : send(options);
    request.on("error", fail);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on("error", fail);
      response.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length > bytesMax) response.destroy(new Error(`the answer is larger than ${bytesMax} bytes`));
        else chunks.push(chunk);
      });
      response.on("end", () => {
        const body = Buffer.concat(chunks).toString("utf8");
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      });
      response.on("close", () => reject(new Error("the answer was cut off")));
    });
    request.end();
  });
}
