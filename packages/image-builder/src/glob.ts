import { matchesGlob } from "node:path";

/**
 * Which of `paths` (absolute inside the image) are excluded. `/a/**` means everything below `/a` but keeps `/a`
 * itself, so that packages' folders stay where tmpfiles and daemons expect them. Hidden names match too.
 */
export function isExcluded(path: string, globs: readonly string[]): boolean {
  return globs.some((glob) => {
    if (glob.endsWith("/**") && !/[*?[{]/.test(glob.slice(0, -3))) return path.startsWith(glob.slice(0, -2));
    return matchesGlob(path, glob);
  });
}
