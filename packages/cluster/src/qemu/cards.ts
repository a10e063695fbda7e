import type { MachineNetwork } from "../network/network.ts";

/** The address that QEMU's user network gives its guest. */
export const USER_NETWORK_ADDRESS = "10.0.2.15";

/**
 * How the host and a VM reach each other. `tap`: a card on a bridge in the cluster's own network namespace, in which QEMU
 * runs; any port of either, at the speed of the kernel. `user`: QEMU's own network, which needs no root; only ports
 * that are forwarded, and nothing from the VM to the host (`restrict=on`).
 */
export type HostLink =
  | { readonly kind: "tap"; readonly network: MachineNetwork }
  | { readonly kind: "user"; readonly forwards: Readonly<Record<number, number>> };

/** The machine's address on its card to the host. Pure. */
export function hostSideAddress(link: HostLink): string {
  return link.kind === "tap" ? link.network.hostAddress : USER_NETWORK_ADDRESS;
}

/** Serial console, two virtio ports, the card to the other machines, the card to the host. Sockets are relative. Pure. */
export function deviceArguments(mac: { peer: string; host: string }, link: HostLink): string[] {
  return [
    ["-chardev", "file,id=console,path=console.log,append=on"],
    ["-serial", "chardev:console"],
    ["-qmp", "unix:qmp.sock,server=on,wait=off"],
    ["-device", "virtio-serial-pci"],
    ["-chardev", "socket,id=debug,path=debug.sock,server=on,wait=off"],
    ["-device", "virtserialport,chardev=debug,name=keelson.debug"],
    ["-chardev", "file,id=journal,path=journal.log,append=on"],
    ["-device", "virtserialport,chardev=journal,name=keelson.journal"],
    ["-netdev", "stream,id=peer,server=off,addr.type=unix,addr.path=hub.sock"],
    ["-device", `virtio-net-pci,netdev=peer,mac=${mac.peer},romfile=`],
    ["-netdev", hostNetdev(link)],
    ["-device", `virtio-net-pci,netdev=host,mac=${mac.host},romfile=`],
  ].flat();
}

function hostNetdev(link: HostLink): string {
  if (link.kind === "tap") return `tap,id=host,ifname=${link.network.tap},script=no,downscript=no`;
  const forwards = Object.entries(link.forwards).map(
    ([guest, host]) => `hostfwd=tcp:127.0.0.1:${host}-${USER_NETWORK_ADDRESS}:${guest}`,
  );
  return ["user,id=host,restrict=on", ...forwards].join(",");
}

/** Locally administered; the last byte tells the machine. Pure. */
export function macAddress(network: number, index: number): string {
  return `52:54:00:6b:0${network}:${(index + 1).toString(16).padStart(2, "0")}`;
}
