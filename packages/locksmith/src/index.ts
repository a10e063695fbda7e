// The semaphore, for everyone who takes or shows the lock.

// When a machine may go down.
export {
  type CoordinatorState,
  RebootCoordinator,
  type RebootCoordinatorOptions,
  type RebootPermit,
} from "./coordinator.ts";
export type { Zone } from "./core/civil.ts";
// Stopping a rollout.
export type { Denial } from "./core/denial.ts";
export { formatGoDuration, parseGoDuration } from "./core/duration.ts";
export { LocksmithError, type LocksmithErrorCode } from "./core/errors.ts";
export { type MemberHealth, mayGoDown, type QuorumVerdict, type QuorumView } from "./core/quorum.ts";
export type { HoldRecord } from "./core/record.ts";
export { parseStrategy, type Strategy } from "./core/strategy.ts";
export { jitterMs, parseRebootWindow, type RebootWindow, type WindowStatus, windowAt } from "./core/window.ts";
export { Hold } from "./hold.ts";
export type { LockOptions, QuorumSource } from "./locker.ts";
export { EtcdMembers, type EtcdMembersOptions } from "./members.ts";
export { allow, denied, deniedVersions, deny, watchDenied } from "./rollout.ts";
export { type HolderStatus, Semaphore, type SemaphoreOptions, type SemaphoreStatus } from "./semaphore.ts";
// Where it is kept.
export { EtcdLockStore } from "./store/etcd-store.ts";
export { type LockStore, StoreUnavailableError } from "./store/port.ts";
export { timeZone } from "./zone.ts";
