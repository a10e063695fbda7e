import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { isObject } from "../registry/records.ts";

/** What an agent must know again after a restart of fleetd on a machine that kept running. */
export interface AgentMemory {
  /** Tells this agent from another one with the same machine id. */
  readonly instance: string;
  /** Units it has started and not stopped -> hash of the text they were started with. */
  readonly launched: ReadonlyMap<string, string>;
}

/** Where an agent keeps its {@link AgentMemory}. It may be lost with a reboot, as the running units are. */
export interface AgentMemoryStore {
  load(): Promise<AgentMemory>;
  save(memory: AgentMemory): Promise<void>;
}

/** {@link AgentMemoryStore} in a file, which is replaced as a whole. An unreadable file counts as none. */
export class FileAgentMemory implements AgentMemoryStore {
  readonly #path: string;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  async load(): Promise<AgentMemory> {
    const text = await readFile(this.#path, "utf8").catch(() => "");
    return parseMemory(text) ?? { instance: randomUUID(), launched: new Map() };
  }

  save(memory: AgentMemory): Promise<void> {
    const text = JSON.stringify({ instance: memory.instance, launched: Object.fromEntries(memory.launched) });
    this.#writing = this.#writing.then(() => this.#write(text));
    return this.#writing;
  }

  async #write(text: string): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true });
    // Not synced on purpose: it lives in /run, and a crash of the machine ends the units as well.
    await writeFile(`${this.#path}.new`, text, { mode: 0o600 });
    await rename(`${this.#path}.new`, this.#path);
  }
}

/** {@link AgentMemoryStore} for simulations. */
export class MemoryAgentMemory implements AgentMemoryStore {
  memory: AgentMemory;

  constructor(instance: string) {
    this.memory = { instance, launched: new Map() };
  }

  load(): Promise<AgentMemory> {
    return Promise.resolve(this.memory);
  }

  save(memory: AgentMemory): Promise<void> {
    this.memory = { ...memory, launched: new Map(memory.launched) };
    return Promise.resolve();
  }
}

function parseMemory(text: string): AgentMemory | undefined {
  try {
    const json: unknown = JSON.parse(text);
    if (!isObject(json) || typeof json["instance"] !== "string" || !isObject(json["launched"])) return undefined;
    const launched = Object.entries(json["launched"]).filter(
      (pair): pair is [string, string] => typeof pair[1] === "string",
    );
    return { instance: json["instance"], launched: new Map(launched) };
  } catch {
    return undefined;
  }
}
