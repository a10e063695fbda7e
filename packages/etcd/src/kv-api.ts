import type {
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from "@keelson/proto";
import { range, readTxn } from "./core/apply.ts";
import { EtcdError } from "./core/errors.ts";
import { checkDelete, checkPut, checkRange, checkTxn, isReadOnlyTxn, isSerializableTxn } from "./core/validate.ts";
import type { Member } from "./member.ts";

const PHYSICAL_COMPACTION_POLL_MS = 10;

/** The key-value store as clients see it. All methods throw EtcdError. */
export class KvApi {
  readonly #member: Member;

  constructor(member: Member) {
    this.#member = member;
  }

  /** Linearizable unless asked otherwise. */
  async range(req: RangeRequest): Promise<RangeResponse> {
    checkRange(req);
    if (!req.serializable && this.#isLearner()) throw new EtcdError("ERR_NOT_SUPPORTED_FOR_LEARNER");
    if (req.serializable) this.#refuseIfStopped();
    else await this.#member.readIndex();
    return range(this.#member.state, req, this.#member.term);
  }

  async put(req: PutRequest): Promise<PutResponse> {
    checkPut(req);
    return (await this.#member.propose({ put: req })).response as PutResponse;
  }

  async deleteRange(req: DeleteRangeRequest): Promise<DeleteRangeResponse> {
    checkDelete(req);
    return (await this.#member.propose({ deleteRange: req })).response as DeleteRangeResponse;
  }

  /** One that only reads does not enter the log. */
  async txn(req: TxnRequest): Promise<TxnResponse> {
    checkTxn(req, this.#member.config.maxTxnOps);
    if (!isReadOnlyTxn(req)) return (await this.#member.propose({ txn: req })).response as TxnResponse;
    if (isSerializableTxn(req)) this.#refuseIfStopped();
    else await this.#member.readIndex();
    return readTxn(this.#member.state, req, this.#member.term);
  }

  /** With `physical` also waits until the data is deleted. */
  async compact(req: CompactionRequest): Promise<CompactionResponse> {
    const outcome = await this.#member.propose({ compaction: req });
    if (req.physical) {
      while (this.#member.state.mvcc.scrubbing) {
        this.#refuseIfStopped();
        await new Promise<void>((resolve) => void this.#member.clock.after(PHYSICAL_COMPACTION_POLL_MS, resolve));
      }
    }
    return outcome.response as CompactionResponse;
  }

  #isLearner(): boolean {
    return this.#member.state.members.get(this.#member.id)?.isLearner === true;
  }

  #refuseIfStopped(): void {
    if (this.#member.stopped) throw new EtcdError("ERR_STOPPED");
  }
}
