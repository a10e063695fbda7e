import { type BoundService, implement } from "@keelson/grpc";
import { Cluster, type Member as MemberMessage, type ResponseHeader } from "@keelson/proto";
import type { MemberInfo } from "../core/membership.ts";
import type { EtcdServer } from "../server.ts";

/** etcdserverpb.Cluster. Its headers have no revision. */
export function clusterService(server: EtcdServer): BoundService {
  const header = (): ResponseHeader => server.member.state.header(server.member.term, 0);
  return implement(Cluster, {
    memberList: async ({ linearizable }) => ({
      $typeName: "etcdserverpb.MemberListResponse" as const,
      members: (await server.cluster.list(linearizable)).map(toMessage),
      header: header(),
    }),
    memberAdd: async ({ peerURLs, isLearner }) => {
      const { member, members } = await server.cluster.add(peerURLs, isLearner);
      return {
        $typeName: "etcdserverpb.MemberAddResponse" as const,
        header: header(),
        member: toMessage(member),
        members: members.map(toMessage),
      };
    },
    memberRemove: async ({ ID }) => ({
      $typeName: "etcdserverpb.MemberRemoveResponse" as const,
      members: (await server.cluster.remove(ID)).map(toMessage),
      header: header(),
    }),
    memberUpdate: async ({ ID, peerURLs }) => ({
      $typeName: "etcdserverpb.MemberUpdateResponse" as const,
      members: (await server.cluster.update(ID, peerURLs)).map(toMessage),
      header: header(),
    }),
    memberPromote: async ({ ID }) => ({
      $typeName: "etcdserverpb.MemberPromoteResponse" as const,
      members: (await server.cluster.promote(ID)).map(toMessage),
      header: header(),
    }),
  });
}

function toMessage(m: MemberInfo): MemberMessage {
  return {
    $typeName: "etcdserverpb.Member",
    ID: m.id,
    name: m.name,
    peerURLs: [...m.peerUrls],
    clientURLs: [...m.clientUrls],
    isLearner: m.isLearner,
  };
}
