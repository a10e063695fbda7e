import { type BoundService, implement } from "@keelson/grpc";
import { Auth, type AuthStatusResponse } from "@keelson/proto";
import { EtcdError } from "../core/errors.ts";
import type { EtcdServer } from "../server.ts";

/** etcdserverpb.Auth while there is no authentication: it says so. */
export function authService(server: EtcdServer): BoundService {
  const disabled = (): never => {
    throw new EtcdError("ERR_AUTH_NOT_ENABLED");
  };
  return implement(Auth, {
    authStatus: (): AuthStatusResponse => ({
      $typeName: "etcdserverpb.AuthStatusResponse",
      header: server.member.state.header(server.member.term),
      enabled: false,
      authRevision: 1n,
    }),
    authEnable: disabled,
    authDisable: disabled,
    authenticate: disabled,
    userAdd: disabled,
    userGet: disabled,
    userList: disabled,
    userDelete: disabled,
    userChangePassword: disabled,
    userGrantRole: disabled,
    userRevokeRole: disabled,
    roleAdd: disabled,
    roleGet: disabled,
    roleList: disabled,
    roleDelete: disabled,
    roleGrantPermission: disabled,
    roleRevokePermission: disabled,
  });
}
