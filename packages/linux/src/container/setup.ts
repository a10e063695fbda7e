/**
 * Runs as PID 1 of the new namespaces, mounts the machine's file systems, and becomes systemd. A shell script because
 * this has to happen in the namespaces before anything of ours could run there; everything it needs comes in variables,
 * so nothing is ever quoted into it.
 *
 * $K_ROOT where the root goes; $K_LOWER overlay layers or $K_ROOTFS a tree; $K_UPPER, $K_WORK; $K_BINDS lines of
 * `ro|rw TAB source TAB target`; $K_HOSTNAME; $K_MACHINE_ID; $K_CREDENTIALS a directory; $K_CONSOLE a file; $K_INIT.
 */
export const SETUP_SCRIPT = `
set -eu
mount --make-rprivate /
root=$K_ROOT
if [ -n "$K_ROOTFS" ]; then
  mount --bind "$K_ROOTFS" "$root"
else
  if [ -z "$K_UPPER" ]; then
    # The machine's writes live and die with its mount namespace. An overlay of / cannot have its upper layer on /.
    mount -t tmpfs -o mode=755,size=2g tmpfs "$root"
    mkdir "$root/upper" "$root/work" "$root/root"
    K_UPPER=$root/upper K_WORK=$root/work root=$root/root
  fi
  mount -t overlay -o "lowerdir=$K_LOWER,upperdir=$K_UPPER,workdir=$K_WORK" overlay "$root"
fi
printf '%s\\n' "$K_HOSTNAME" >/proc/sys/kernel/hostname
rm -f "$root/etc/machine-id" "$root/etc/hostname"
printf '%s\\n' "$K_MACHINE_ID" >"$root/etc/machine-id"
printf '%s\\n' "$K_HOSTNAME" >"$root/etc/hostname"
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
# The machine shares the host's kernel and must not set its sysctls; the network's are its own.
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
if [ -e "$root/proc/sysrq-trigger" ]; then
  mount --bind "$root/proc/sysrq-trigger" "$root/proc/sysrq-trigger"
  mount -o remount,bind,ro "$root/proc/sysrq-trigger"
fi
# A read-only /sys also tells systemd that there are no devices to manage.
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"

mount -t tmpfs -o mode=755,nosuid,size=4m tmpfs "$root/dev"
for node in null zero full random urandom tty fuse; do
  [ -e "/dev/$node" ] || continue
  : >"$root/dev/$node"
  mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5,nosuid,noexec devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
: >"$root/dev/console"
mount --bind "$K_CONSOLE" "$root/dev/console"

mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
mkdir -p "$root/run/host/credentials" "$root/run/host/old-root"
chmod 700 "$root/run/host/credentials"
if [ -n "$K_CREDENTIALS" ]; then cp -R "$K_CREDENTIALS/." "$root/run/host/credentials/"; fi

printf '%s' "$K_BINDS" | while IFS='	' read -r mode source target; do
  if [ -d "$source" ]; then mkdir -p "$root$target"; else mkdir -p "$root\${target%/*}"; [ -e "$root$target" ] || : >"$root$target"; fi
  mount --rbind "$source" "$root$target"
  if [ "$mode" = ro ]; then mount -o remount,bind,ro "$root$target"; fi
done

pivot_root "$root" "$root/run/host/old-root"
cd /
umount -l /run/host/old-root
rmdir /run/host/old-root
init=$K_INIT
exec /usr/bin/env -i container=other CREDENTIALS_DIRECTORY=/run/host/credentials PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$init" "$@"
`;
