import type * as FfiModule from "node:ffi";
import { assert } from "@keelson/types";
import { OstreeRepoError } from "../core/errors.ts";
import type { Xattr } from "../core/objects.ts";

// Locks that end with their owner and extended attributes: Node has neither, so libc is called. See fcntl(2) and xattr(7).
const SIGNATURES = {
  fcntl: { arguments: ["i32", "i32", "buffer"], return: "i32" },
  flock: { arguments: ["i32", "i32"], return: "i32" },
} as const;
const LINUX_SIGNATURES = {
  ...SIGNATURES,
  __errno_location: { arguments: [], return: "pointer" },
  llistxattr: { arguments: ["string", "buffer", "u64"], return: "i64" },
  lgetxattr: { arguments: ["string", "string", "buffer", "u64"], return: "i64" },
  lsetxattr: { arguments: ["string", "string", "buffer", "u64", "i32"], return: "i32" },
} as const;

type Ffi = typeof FfiModule;

/** Loads `node:ffi` without its warning that it is experimental, which would stand in every command's output. */
function loadFfi(): Ffi {
  const before = Object.getOwnPropertyDescriptor(process, "emitWarning");
  process.emitWarning = () => {};
  try {
    const ffi = process.getBuiltinModule("node:ffi") as Ffi | undefined;
    if (ffi !== undefined) return ffi;
  } finally {
    if (before !== undefined) Object.defineProperty(process, "emitWarning", before);
  }
  throw new OstreeRepoError(`this Node.js (${process.version}) has no node:ffi, which locks and xattrs need`);
}

function open() {
  const ffi = loadFfi();
  const linux = process.platform === "linux";
  return {
    ffi,
    libc: ffi.dlopen(null, SIGNATURES).functions,
    linux: linux ? ffi.dlopen(null, LINUX_SIGNATURES).functions : undefined,
  };
}

let native: ReturnType<typeof open> | undefined;

function libc(): ReturnType<typeof open> {
  native ??= open();
  return native;
}

const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Tries to lock an open file. On Linux an open-file-description lock, as upstream takes; elsewhere flock(2). It ends when
 * the file is closed, also by a crash.
 */
export function tryLockFd(fd: number, kind: "shared" | "exclusive"): boolean {
  const { libc: c } = libc();
  if (process.platform !== "linux") {
    return c.flock(fd, (kind === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0;
  }
  // struct flock of 64-bit Linux: l_type, l_whence (16 bits each), l_start, l_len (64 bits, at 8 and 16), l_pid.
  const request = Buffer.alloc(32);
  request.writeInt16LE(kind === "shared" ? F_RDLCK : F_WRLCK, 0);
  return c.fcntl(fd, F_OFD_SETLK, request) === 0;
}

const ENODATA = 61;
const ENOTSUP = 95;
const ERANGE = 34;

function linuxCalls() {
  const { linux } = libc();
  if (linux === undefined) throw new OstreeRepoError("extended attributes are supported on Linux only");
  return linux;
}

function errno(): number {
  const at = linuxCalls().__errno_location();
  assert(at !== null, "errno has an address");
  return libc().ffi.getInt32(BigInt(at));
}

/** Calls with a growing buffer until the answer fits. Undefined when there is nothing of that name. */
function readGrowing(what: string, call: (buffer: Buffer) => bigint | number): Buffer | undefined {
  for (let size = 1_024; size <= 1024 * 1024; size *= 8) {
    const buffer = Buffer.alloc(size);
    const length = Number(call(buffer));
    if (length >= 0) return buffer.subarray(0, length);
    const code = errno();
    if (code === ENODATA || code === ENOTSUP) return undefined;
    if (code !== ERANGE) throw new OstreeRepoError(`cannot read extended attributes of ${what}`, { errno: code });
  }
  throw new OstreeRepoError(`extended attributes of ${what} are too large`);
}

/** All extended attributes of a file (not of what a symlink points to) that have a value, sorted by name. Linux only. */
export function readXattrs(path: string): Xattr[] {
  const c = linuxCalls();
  const list = readGrowing(path, (buffer) => c.llistxattr(path, buffer, BigInt(buffer.length)));
  if (list === undefined || list.length === 0) return [];
  const names = list.toString("utf8").split("\0").slice(0, -1).sort();
  const xattrs: Xattr[] = [];
  for (const name of names) {
    const value = readGrowing(path, (buffer) => c.lgetxattr(path, name, buffer, BigInt(buffer.length)));
    // Upstream takes an empty value for none.
    if (value !== undefined && value.length > 0) xattrs.push({ name, value: new Uint8Array(value) });
  }
  return xattrs;
}

/** Sets extended attributes; others stay. Linux only. */
export function writeXattrs(path: string, xattrs: readonly Xattr[]): void {
  if (xattrs.length === 0) return;
  const c = linuxCalls();
  for (const { name, value } of xattrs) {
    if (c.lsetxattr(path, name, Buffer.from(value), BigInt(value.length), 0) !== 0) {
      throw new OstreeRepoError(`cannot set ${name} of ${path}`, { errno: errno() });
    }
  }
}
