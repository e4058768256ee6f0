# Makes the root that Lambda shows, in namespaces of its own, and runs a program in it. For where bubblewrap is not.
# walls function SCRATCH STORAGE FOLDER... -- NAME=VALUE... PROGRAM ARGUMENT...
# walls image SCRATCH STORAGE ROOT FROM TO FROM TO... -- NAME=VALUE... PROGRAM ARGUMENT...
set -eu
what=$1 scratch=$2 storage=$3
shift 3
root=$scratch/root
mkdir -p "$root"
mount --make-rprivate /

read_only() {
  # What a mount refuses already may not be allowed here.
  options=$(findmnt -n -o VFS-OPTIONS --target "$1" | tail -n 1)
  mount -o "remount,bind,ro,${options#rw}" "$1"
}

bind() {
  [ -e "$1" ] || return 0
  if [ -d "$1" ]; then
    mkdir -p "$root$2"
  else
    mkdir -p "$root${2%/*}"
    : >"$root$2"
  fi
  mount --rbind "$1" "$root$2"
  read_only "$root$2"
}

# Lets nothing be what only root may, then runs its arguments.
powerless() { setpriv --no-new-privs --bounding-set -all --inh-caps -all --ambient-caps -all "$@"; }

if [ "$what" = image ]; then
  # It has a place for everything that is mounted in it, and none of these is a link.
  mount --bind "$1" "$root"
  read_only "$root"
  shift
  while [ "$1" != -- ]; do
    mount --bind "$1" "$root/$2"
    read_only "$root/$2"
    shift 2
  done
  mount -t tmpfs -o mode=755,size=1m tmpfs "$root/dev"
else
  mount -t tmpfs -o mode=755,size=1m tmpfs "$root"
  bind "$scratch/task" /var/task
  bind "$scratch/opt" /opt
  bind "$scratch/runtime" /var/runtime
  bind "$scratch/passwd" /etc/passwd
  bind "$scratch/group" /etc/group
  mkdir -p "$root/proc" "$root/dev" "$root/tmp"
fi
mount -t proc proc "$root/proc"
for node in null zero full random urandom tty; do
  : >"$root/dev/$node"
  mount --bind "/dev/$node" "$root/dev/$node"
done
ln -s /proc/self/fd "$root/dev/fd"
for stream in 0/stdin 1/stdout 2/stderr; do ln -s "fd/${stream%/*}" "$root/dev/${stream#*/}"; done
[ "$what" = function ] || read_only "$root/dev"
mount -t tmpfs -o "mode=1777,size=$storage" tmpfs "$root/tmp"
while [ "$1" != -- ]; do
  bind "$1" "$1"
  shift
done
shift
# Not in the place of this shell, which is the first process here: signals do less to that one.
status=0
if [ "$what" = image ]; then
  # What changes the root for it is named with it: nothing of this machine is in there.
  powerless env -i -- "$@" || status=$?
else
  mount -o remount,bind,ro "$root"
  chroot "$root" setpriv --no-new-privs --bounding-set -all --inh-caps -all --ambient-caps -all \
    env -i -C /var/task -- "$@" || status=$?
fi
exit "$status"
