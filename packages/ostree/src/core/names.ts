import { OstreeNameError } from "./errors.ts";
import type { Checksum, ObjectType } from "./objects.ts";

// PCRE without UCP: \w and \d are ASCII, as in JavaScript.
const FRAGMENT = String.raw`\w[-._\w]*`;
const REF = new RegExp(`^(?:${FRAGMENT}/)*${FRAGMENT}$`);
const REMOTE = new RegExp(`^${FRAGMENT}$`);
/** Linux's limit for one name of a path; a ref is a file. */
const FRAGMENT_BYTES_MAX = 255;
const REF_BYTES_MAX = 1_024;

/** Whether it is a ref's name (without remote), by upstream's rule. */
export function isRefName(name: string): boolean {
  return (
    name.length <= REF_BYTES_MAX && REF.test(name) && name.split("/").every((part) => part.length <= FRAGMENT_BYTES_MAX)
  );
}

/** @throws {OstreeNameError} */
export function checkRefName(name: string): void {
  if (!isRefName(name)) throw new OstreeNameError(`not a ref name: ${JSON.stringify(name.slice(0, 200))}`);
}

/** @throws {OstreeNameError} */
export function checkRemoteName(name: string): void {
  if (!REMOTE.test(name) || name.length > FRAGMENT_BYTES_MAX) {
    throw new OstreeNameError(`not a remote's name: ${JSON.stringify(name.slice(0, 200))}`);
  }
}

/** Splits `remote:ref` or `ref`. @throws {OstreeNameError} */
export function parseRefspec(refspec: string): { readonly remote?: string; readonly ref: string } {
  const colon = refspec.indexOf(":");
  const ref = refspec.slice(colon + 1);
  checkRefName(ref);
  if (colon < 0) return { ref };
  const remote = refspec.slice(0, colon);
  checkRemoteName(remote);
  return { remote, ref };
}

/** A file or directory name inside a tree: not empty, no `/` or NUL, not `.` or `..`. */
export function isEntryName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\0]/.test(name);
}

/** Ending of the loose object's file. In an archive, file objects are `.filez`. */
export function objectExtension(type: ObjectType, mode: "archive" | "bare"): string {
  return type === "file" && mode === "archive" ? "filez" : type;
}

/** `ab/cdef….dirtree`: the loose object's path below `objects/`. */
export function looseObjectPath(type: ObjectType, checksum: Checksum, mode: "archive" | "bare"): string {
  return `${checksum.slice(0, 2)}/${checksum.slice(2)}.${objectExtension(type, mode)}`;
}

const LOOSE = /^([0-9a-f]{62})\.(commit|dirtree|dirmeta|file|filez|commitmeta)$/;

/** The inverse of {@link looseObjectPath}; undefined for other files (temporary ones, further kinds of object). */
export function parseLooseName(
  directory: string,
  name: string,
  mode: "archive" | "bare",
): { readonly type: ObjectType; readonly checksum: Checksum } | undefined {
  const match = LOOSE.exec(name);
  if (match === null || !/^[0-9a-f]{2}$/.test(directory)) return undefined;
  const extension = match[2] as ObjectType | "filez";
  if (extension === (mode === "archive" ? "file" : "filez")) return undefined;
  return { type: extension === "filez" ? "file" : extension, checksum: directory + (match[1] as string) };
}

const utf8 = new TextEncoder();

/** Order of names in a tree: by bytes. */
export function compareNames(a: string, b: string): number {
  // UTF-16 order equals UTF-8 order except where surrogates meet U+E000 and up.
  if (!/[\ud800-\uffff]/.test(a) && !/[\ud800-\uffff]/.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  const x = utf8.encode(a);
  const y = utf8.encode(b);
  const n = Math.min(x.length, y.length);
  for (let i = 0; i < n; i++) if (x[i] !== y[i]) return (x[i] as number) - (y[i] as number);
  return x.length - y.length;
}
