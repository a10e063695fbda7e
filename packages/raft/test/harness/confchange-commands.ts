import { type ConfChangeSingle, parseConfChanges } from "../../src/conf-change.ts";
import { Changer, EMPTY_MEMBERSHIP, type Membership } from "../../src/confchange/changer.ts";
import { ConfChangeError } from "../../src/errors.ts";
import { describeConfig, describeProgressMap } from "../../src/tracker/tracker.ts";
import { type Command, parseBool, valueOf } from "./datadriven.ts";

/** `simple`, `enter-joint`, `leave-joint` on one membership (upstream: confchange/datadriven_test.go). */
export class ConfChangeScript {
  #membership: Membership = EMPTY_MEMBERSHIP;
  /** Grows with every command, so that members added later are probed from further on. */
  #lastIndex = 0;

  run(c: Command): string {
    try {
      return this.#run(c);
    } finally {
      this.#lastIndex++;
    }
  }

  #run(c: Command): string {
    let changes: ConfChangeSingle[];
    try {
      changes = parseConfChanges(c.input);
    } catch (error) {
      return messageOf(error);
    }
    const changer = new Changer(this.#membership, { lastIndex: this.#lastIndex, maxInflight: 10, maxInflightBytes: 0 });
    try {
      switch (c.name) {
        case "simple":
          this.#membership = changer.simple(changes);
          break;
        case "enter-joint": {
          const autoLeave = valueOf(c, "autoleave");
          this.#membership = changer.enterJoint(autoLeave !== undefined && parseBool(c, autoLeave), changes);
          break;
        }
        case "leave-joint":
          if (changes.length > 0) return "this command takes no input\n";
          this.#membership = changer.leaveJoint();
          break;
        default:
          return "unknown command";
      }
    } catch (error) {
      return `${messageOf(error)}\n`;
    }
    return `${describeConfig(this.#membership.config)}\n${describeProgressMap(this.#membership.progress)}`;
  }
}

function messageOf(error: unknown): string {
  if (error instanceof ConfChangeError) return error.message;
  throw error;
}
