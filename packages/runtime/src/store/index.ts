export { ArchiveError, ImageInUseError, ImageNotFoundError, StoreError, StoreFullError } from "./errors.ts";
export type { UnpackLimits } from "./layer-file.ts";
export { STORE_ROOT } from "./layout.ts";
export type { ImageProgress } from "./source.ts";
export {
  ImageStore,
  type ImageStoreOptions,
  type ImportRequest,
  openImageStore,
  type StoreDamage,
  type StoredImage,
  type StoreRequest,
  thisPlatform,
} from "./store.ts";
