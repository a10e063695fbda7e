import { constants, createReadStream } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join, sep } from "node:path";
import { pipeline } from "node:stream/promises";

const CHUNK_BYTES = 256 * 1024;

/** What was sent. */
export interface Served {
  readonly status: number;
  readonly bytes: number;
}

/**
 * Serves the files below a directory: GET and HEAD, one byte range, conditional requests. Nothing outside is reachable, not
 * by `..` in any encoding and not by a symbolic link; directories are not listed.
 */
export async function serveFile(
  root: string,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Served> {
  const names = safeNames(path);
  if (names === undefined) return refuse(response, 400, "a path has no empty, . or .. parts");
  const base = await realpath(root).catch(() => undefined);
  const real = base === undefined ? undefined : await realpath(join(base, ...names)).catch(() => undefined);
  if (base === undefined || real === undefined || !real.startsWith(base + sep))
    return refuse(response, 404, "no such file");
  let file: FileHandle;
  try {
    file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return refuse(response, 404, "no such file");
  }
  // Closed with the stream; before there is one, here.
  try {
    const info = await file.stat();
    if (!info.isFile()) {
      await file.close();
      return refuse(response, 404, "no such file");
    }
    return await send(file, { size: info.size, mtimeMs: info.mtimeMs, ino: info.ino }, names, request, response);
  } catch (error) {
    await file.close().catch(() => {});
    throw error;
  }
}

async function send(
  file: FileHandle,
  info: { readonly size: number; readonly mtimeMs: number; readonly ino: number },
  names: readonly string[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Served> {
  const { size } = info;
  const etag = `"${info.ino.toString(16)}-${size.toString(16)}-${Math.round(info.mtimeMs * 1_000).toString(16)}"`;
  response.setHeader("ETag", etag);
  response.setHeader("Last-Modified", new Date(info.mtimeMs).toUTCString());
  response.setHeader("Accept-Ranges", "bytes");
  response.setHeader("Content-Type", "application/octet-stream");
  // Objects are named by what is in them; all else may change at any time.
  const isObject = names[0] === "objects" || names[0] === "deltas-keelson";
  response.setHeader("Cache-Control", isObject ? "public, max-age=31536000, immutable" : "no-cache");
  if (matches(request.headers["if-none-match"], etag)) {
    await file.close();
    response.writeHead(304).end();
    return { status: 304, bytes: 0 };
  }
  const ifRange = request.headers["if-range"];
  const range = ifRange === undefined || ifRange === etag ? parseRange(request.headers.range, size) : undefined;
  if (range === "unsatisfiable") {
    await file.close();
    response.setHeader("Content-Range", `bytes */${size}`);
    return refuse(response, 416, "the range is outside of the file");
  }
  const { start, end } = range ?? { start: 0, end: size - 1 };
  const length = end - start + 1;
  if (range !== undefined) response.setHeader("Content-Range", `bytes ${start}-${end}/${size}`);
  const status = range === undefined ? 200 : 206;
  response.writeHead(status, { "Content-Length": length });
  if (request.method === "HEAD" || length === 0) {
    await file.close();
    response.end();
    return { status, bytes: 0 };
  }
  const stream = createReadStream("", { fd: file, start, end, highWaterMark: CHUNK_BYTES });
  await pipeline(stream, response);
  return { status, bytes: length };
}

/** One range of `bytes=`; undefined when there is none that counts, and then the whole file is sent (RFC 9110 §14.2). */
export function parseRange(
  header: string | undefined,
  size: number,
): { readonly start: number; readonly end: number } | "unsatisfiable" | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "");
  if (match === null || (match[1] === "" && match[2] === "")) return undefined;
  const [, from = "", to = ""] = match;
  if (from === "") {
    const length = Math.min(Number(to), size);
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size - 1 };
  }
  const start = Number(from);
  const end = to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (to !== "" && Number(to) < start) return undefined;
  return start >= size ? "unsatisfiable" : { start, end };
}

/** The parts of a decoded path, or undefined when one of them could lead elsewhere. */
export function safeNames(path: string): string[] | undefined {
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return undefined;
  }
  const names = decoded.split("/").filter((name, i) => name !== "" || i > 0);
  const isSafe = (name: string) => name !== "" && name !== "." && name !== ".." && !/[\\\0]/.test(name);
  return names.length > 0 && names.length <= 32 && names.every(isSafe) ? names : undefined;
}

function matches(header: string | undefined, etag: string): boolean {
  return header !== undefined && header.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
}

function refuse(response: ServerResponse, status: number, value: string): Served {
  for (const name of ["ETag", "Last-Modified", "Cache-Control"]) response.removeHeader(name);
  const body = JSON.stringify({ kind: `http_${status}`, value });
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
  response.end(body);
  return { status, bytes: 0 };
}
