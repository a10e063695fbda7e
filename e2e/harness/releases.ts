import { generateKeyPairSync } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { buildImage, publishImage, type SourceOptions } from "@keelson/image-builder";
import { type TempDir, tempDir } from "@keelson/testkit";
import { ROOT } from "./tools.ts";

/** How a release differs from the repository's image. */
export interface Variant {
  /** Path in the root file system → content; executables by `executables`. */
  readonly files?: Readonly<Record<string, string>>;
  /** Another first program of the initramfs. */
  readonly initramfsInit?: string;
  readonly kernelArguments?: string;
}

export interface Published {
  readonly version: string;
  readonly commit: string;
  /** Bytes of the delta from the release before, if there was one. */
  readonly deltaBytes: number | undefined;
  readonly seconds: number;
}

/** Versions of the image, signed with a key of their own, in a folder that an update server serves. */
export class Releases implements AsyncDisposable {
  /** What the update server serves. */
  readonly root: string;
  readonly #work: TempDir;
  readonly #privateKey: string;
  readonly #trust: string;

  private constructor(root: string, work: TempDir, privateKey: string, trust: string) {
    this.root = root;
    this.#work = work;
    this.#privateKey = privateKey;
    this.#trust = trust;
  }

  static async create(root: string): Promise<Releases> {
    const work = await tempDir("variants");
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const trust = work.join("e2e.pub");
    await writeFile(trust, publicKey.export({ type: "spki", format: "pem" }));
    return new Releases(root, work, privateKey.export({ type: "pkcs8", format: "pem" }).toString(), trust);
  }

  /** Builds a version and makes it the newest. */
  async publish(version: string, variant: Variant = {}): Promise<Published> {
    return await this.#timed(version, await this.#source(version, variant));
  }

  /** As {@link publish}, with an image of it to start machines from. */
  async publishWithImage(version: string, variant: Variant = {}): Promise<Published & { readonly image: string }> {
    const source = await this.#source(version, variant);
    const image = this.#work.join(`image-${version}`);
    const { commit } = await buildImage({ ...source, output: image });
    return { ...(await this.#timed(version, { ...source, commit })), image };
  }

  async #timed(version: string, source: SourceOptions & { commit?: string }): Promise<Published> {
    const startedMs = performance.now();
    const published = await publishImage({
      ...source,
      version,
      root: this.root,
      privateKey: this.#privateKey,
      deltas: 1,
    });
    const seconds = (performance.now() - startedMs) / 1000;
    return { version, commit: published.commit, deltaBytes: published.deltas.at(-1)?.bytes, seconds };
  }

  /** Writes what the variant adds, and says what to build. */
  async #source(version: string, variant: Variant): Promise<SourceOptions> {
    const overlay = this.#work.join(`overlay-${version}`);
    const files = { "usr/share/keelson/release-note": `this is ${version}\n`, ...variant.files };
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(overlay, path)), { recursive: true });
      await writeFile(join(overlay, path), content, { mode: content.startsWith("#!") ? 0o755 : 0o644 });
    }
    const { initramfsInit, kernelArguments } = variant;
    const init = this.#work.join(`init-${version}`);
    if (initramfsInit !== undefined) await writeFile(init, initramfsInit, { mode: 0o755 });
    return {
      repository: ROOT,
      version,
      trust: [this.#trust],
      overlay,
      ...(initramfsInit === undefined ? {} : { initramfsInit: init }),
      ...(kernelArguments === undefined ? {} : { kernelArguments }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#work[Symbol.asyncDispose]();
  }
}
