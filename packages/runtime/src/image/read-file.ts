import { closeSync, openSync, readSync } from "node:fs";
import { ErofsReader, findInLayers } from "@keelson/oci";

/**
 * Reads a file of an image without mounting anything: the layers' own EROFS files are read. Symlinks are followed inside the image. For small files
 * such as /etc/passwd.
 *
 * @param layers paths of the layers' EROFS files, base first
 * @param path absolute, in the image
 * @returns undefined when it is not there, or is no regular file
 * @throws LayerError when a layer is damaged or the file is larger than `bytesMax`
 */
export function readImageFile(layers: readonly string[], path: string, bytesMax = 1024 * 1024): Uint8Array | undefined {
  const handles: number[] = [];
  try {
    const readers = layers.map((layer) => {
      const handle = openSync(layer, "r");
      handles.push(handle);
      return new ErofsReader((offset, length) => {
        const buffer = new Uint8Array(length);
        return buffer.subarray(0, readSync(handle, buffer, 0, length, offset));
      });
    });
    const found = findInLayers(readers, path);
    return found?.inode.kind === "file" ? found.reader.content(found.inode, bytesMax) : undefined;
  } finally {
    for (const handle of handles) closeSync(handle);
  }
}
