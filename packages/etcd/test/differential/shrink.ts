import { clone, type DescMessage, type Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";

/** Every message that is a little simpler: a field cleared, an item of a list left out, at any depth. */
export function* simpler(schema: DescMessage, message: Message): Generator<Message> {
  for (const field of schema.fields) {
    if (!reflect(schema, message).isSet(field)) continue;
    const cleared = clone(schema, message);
    reflect(schema, cleared).clear(field);
    yield cleared;
    const inner = field.message;
    if (inner === undefined) continue;
    if (field.fieldKind === "list") {
      const items = (message as unknown as Record<string, Message[]>)[field.localName] as Message[];
      for (const [i, item] of items.entries()) {
        yield withList(schema, message, field.localName, (list) => list.splice(i, 1));
        for (const s of simpler(inner, item)) {
          yield withList(schema, message, field.localName, (list) => list.splice(i, 1, s));
        }
      }
    } else if (field.oneof !== undefined) {
      const { localName } = field.oneof;
      const value = (message as unknown as Record<string, { value: Message }>)[localName]?.value as Message;
      for (const s of simpler(inner, value)) {
        const copy = clone(schema, message);
        (copy as unknown as Record<string, unknown>)[localName] = { case: field.localName, value: s };
        yield copy;
      }
    }
  }
}

function withList(schema: DescMessage, message: Message, name: string, change: (list: Message[]) => void): Message {
  const copy = clone(schema, message);
  change((copy as unknown as Record<string, Message[]>)[name] as Message[]);
  return copy;
}

/** The simplest message found, one step at a time, for which `fails` still holds. */
export async function shrink(
  schema: DescMessage,
  message: Message,
  fails: (message: Message) => Promise<boolean>,
): Promise<Message> {
  let best = message;
  for (let tries = 0; tries < 200; ) {
    let found: Message | undefined;
    for (const candidate of simpler(schema, best)) {
      if (++tries > 200) break;
      if (!(await fails(candidate))) continue;
      found = candidate;
      break;
    }
    if (found === undefined) break;
    best = found;
  }
  return best;
}
