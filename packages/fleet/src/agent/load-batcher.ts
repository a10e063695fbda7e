import type { UnitFile, UnitManager } from "@keelson/unit";

interface Waiting {
  readonly unit: UnitFile;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Loads units that are to be loaded at the same time with one call, since every call makes systemd read all units anew. */
export class LoadBatcher {
  readonly #manager: UnitManager;
  #waiting: Waiting[] = [];
  #isBusy = false;

  constructor(manager: UnitManager) {
    this.#manager = manager;
  }

  load(unit: UnitFile): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ unit, resolve, reject });
      if (!this.#isBusy) void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    this.#isBusy = true;
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#manager.load(batch.map(({ unit }) => unit));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        if (batch.length === 1) batch[0]?.reject(error);
        else await this.#oneByOne(batch);
      }
    }
    this.#isBusy = false;
  }

  /** One bad unit spoilt the batch: the others must not suffer. */
  async #oneByOne(batch: readonly Waiting[]): Promise<void> {
    for (const { unit, resolve, reject } of batch) await this.#manager.load([unit]).then(resolve, reject);
  }
}
