import type { Message } from "@bufbuild/protobuf";
import type { RangeRequest, TxnRequest } from "@keelson/proto";
import type { Plain } from "./normalise.ts";

type Fields = Readonly<Record<string, Plain>>;

/** What each sort target looks at; the key has no ties. */
const SORTED_BY = [undefined, "version", "createRevision", "modRevision", "value"];

/**
 * The answer to a range or a transaction so that the order among equals does not show: of what was sorted only the
 * values sorted by keep their order, and the keys are compared as a set, unless a limit may have cut through equals.
 */
export function withoutTies(request: Message, answer: Plain): Plain {
  if (request.$typeName === "etcdserverpb.RangeRequest") return rangeWithoutTies(request as RangeRequest, answer);
  const { success, failure } = request as TxnRequest;
  const { succeeded, responses, ...rest } = answer as Fields;
  const ops = succeeded === true ? success : failure;
  const hidden = ((responses ?? []) as readonly Fields[]).map(({ response }, i) => {
    const op = ops[i]?.request;
    const { case: name, value } = response as Fields;
    const nested = op?.case === "requestRange" || op?.case === "requestTxn";
    return { case: name ?? "", value: nested ? withoutTies(op.value, value ?? {}) : (value ?? {}) };
  });
  return { ...rest, succeeded: succeeded ?? false, responses: hidden };
}

function rangeWithoutTies({ sortTarget, limit }: RangeRequest, answer: Plain): Plain {
  const field = SORTED_BY[sortTarget];
  const { kvs, ...rest } = answer as Fields;
  if (field === undefined || kvs === undefined) return answer;
  const list = kvs as readonly Fields[];
  const keys = list.map((kv) => JSON.stringify(kv)).toSorted();
  return { ...rest, order: list.map((kv) => kv[field] ?? ""), keys: limit > 0n && rest["more"] === true ? "" : keys };
}
