import { UserLookupError } from "./errors.ts";

/** Ids of a process. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  /** Home directory by the image's passwd, if it says. */
  readonly home?: string;
}

/** The image's files, as text; undefined when the image has none. */
export interface UserFiles {
  readonly passwd: string | undefined;
  readonly group: string | undefined;
}

const ID_MAX = 0xffff_fffe;
const LINES_MAX = 100_000;

/**
 * Resolves `user`, `uid`, `user:group`, `uid:gid` in the image's own /etc/passwd and /etc/group. Numbers are taken as they are; a user without
 * `:group` gets the group and the supplementary groups that the files say. image-spec conversion.md "config.User".
 *
 * @throws UserLookupError for a name that the image does not know: guessing root would be worse
 */
export function resolveUser(spec: string, files: UserFiles): ResolvedUser {
  const [userPart = "", groupPart, ...more] = spec.split(":");
  if (more.length > 0) throw new UserLookupError(`user ${JSON.stringify(spec)}: more than one colon`, { spec });
  const users = parsePasswd(files.passwd ?? "");
  const uid = userPart === "" ? 0 : numericId(userPart);
  const user = uid === undefined ? users.find((u) => u.name === userPart) : users.find((u) => u.uid === uid);
  if (uid === undefined && user === undefined) {
    const where = files.passwd === undefined ? "the image has no /etc/passwd" : "it is not in the image's /etc/passwd";
    throw new UserLookupError(`user ${JSON.stringify(userPart)}: ${where}`, { spec });
  }
  const home = user?.home === undefined || user.home === "" ? {} : { home: user.home };
  const base = { uid: user?.uid ?? uid ?? 0, ...home };
  if (groupPart !== undefined && groupPart !== "") {
    return { ...base, gid: groupId(groupPart, spec, files), additionalGids: [] };
  }
  const groups = user === undefined ? [] : parseGroups(files.group ?? "").filter((g) => g.members.includes(user.name));
  const additionalGids = [...new Set(groups.map((g) => g.gid))]
    .filter((gid) => gid !== user?.gid)
    .sort((a, b) => a - b);
  return { ...base, gid: user?.gid ?? 0, additionalGids };
}

function groupId(text: string, spec: string, files: UserFiles): number {
  const id = numericId(text) ?? parseGroups(files.group ?? "").find((g) => g.name === text)?.gid;
  if (id !== undefined) return id;
  const where = files.group === undefined ? "the image has no /etc/group" : "it is not in the image's /etc/group";
  throw new UserLookupError(`group ${JSON.stringify(text)}: ${where}`, { spec });
}

function numericId(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  if (id > ID_MAX) throw new UserLookupError(`id ${text} is out of range`, { text });
  return id;
}

interface PasswdLine {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string | undefined;
}

function parsePasswd(text: string): PasswdLine[] {
  return lines(text).flatMap((line) => {
    const [name = "", , uid = "", gid = "", , home] = line.split(":");
    return name !== "" && isId(uid) && isId(gid) ? [{ name, uid: Number(uid), gid: Number(gid), home }] : [];
  });
}

function parseGroups(text: string): { name: string; gid: number; members: string[] }[] {
  return lines(text).flatMap((line) => {
    const [name = "", , gid = "", members = ""] = line.split(":");
    return name !== "" && isId(gid)
      ? [{ name, gid: Number(gid), members: members.split(",").map((m) => m.trim()) }]
      : [];
  });
}

function isId(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= ID_MAX;
}

/** Lines that are neither empty nor comments. Damaged ones are left to the caller: libc skips them, too. */
function lines(text: string): string[] {
  return text.split("\n", LINES_MAX).filter((line) => line.trim() !== "" && !line.startsWith("#"));
}
