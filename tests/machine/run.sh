#!/usr/bin/env bash
# Boots virtual machines that have the cgroup v2 hierarchy alone, and runs checks.sh in them.
#
#   tests/machine/run.sh                        every machine: KERNEL/INIT
#   tests/machine/run.sh 6.1/systemd [CHECK…]   one machine; these checks only
#   tests/machine/run.sh --list                 the machines and the checks
#
# KERNEL is a version of Debian's cloud kernel, `6.1` or `6.12` (from backports, where apt knows it). INIT is `plain`
# (a script is PID 1, and all that stack is given is an ordinary cgroup) or `systemd`.
#
#   STACK    the stack program (default: this checkout's, from `cargo build`)
#   KEEP     a directory for what the machines said (default: shown when a check fails)
#   ACCEL    qemu's accelerator (default tcg, which works everywhere; kvm is ten times as fast)
#
# Needs root, and a Debian that offers the packages. What takes long to make is kept in
# ${XDG_CACHE_HOME:-~/.cache}/stack-tests/machine.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/stack-tests/machine
readonly here top cache
# Seconds for one machine: on two processors without kvm it takes five minutes when nothing else runs.
readonly patience=2400
work=

say() { printf '%s\n' "$*" >&2; }
die() {
  say "run.sh: $*"
  exit 1
}
clean_up() { if [ -n "$work" ]; then rm -rf --one-file-system "$work"; fi; }
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# program:package
readonly programs=(
  qemu-system-x86_64:qemu-system-x86 mmdebstrap:mmdebstrap mke2fs:e2fsprogs busybox:busybox-static depmod:kmod xz:xz-utils
  strip:binutils
)

install_packages() {
  local entry missing=()
  for entry in "${programs[@]}"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${entry%%:*}" >/dev/null || missing+=("${entry#*:}")
  done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  say "installing ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

# The newest package that the metapackage of a version stands for; nothing where apt has none.
kernel_package() {
  local meta=linux-image-cloud-amd64 found
  if [ "$1" != 6.1 ]; then meta=linux-image-$1-cloud-amd64; fi
  found=$(apt-cache depends --no-recommends --no-suggests "$meta" 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }')
  # What the metapackage stands for on another release may be another version.
  if [[ $found == linux-image-"$1".* ]]; then printf '%s\n' "$found"; fi
}

machines() {
  local kernel
  for kernel in 6.1 6.12; do
    if [ -n "$(kernel_package "$kernel")" ]; then printf '%s/plain\n%s/systemd\n' "$kernel" "$kernel"; fi
  done
}

# Unpacks a kernel with its modules into the cache; prints the directory.
kernel() {
  local package=$1 dir=$cache/$1 made
  if [ ! -d "$dir" ]; then
    say "fetching $package"
    made=$(mktemp -d "$cache/part.XXXXXX")
    (cd "$made" && apt-get download -qq -o APT::Sandbox::User=root "$package" && dpkg-deb -x ./*.deb . && rm ./*.deb)
    PATH=$PATH:/sbin:/usr/sbin depmod -b "$made" "${package#linux-image-}"
    mv "$made" "$dir"
  fi
  printf '%s\n' "$dir"
}

# The root file system: Debian with systemd, which the plain machine leaves alone. Prints the image's path.
root_image() {
  local key image made
  key=$(cat "$here/root.sh" | sha256sum | cut -c1-12)
  image=$cache/root-$key.ext4
  if [ ! -f "$image" ]; then
    say "making the root file system"
    rm -f "$cache"/root-*.ext4
    made=$(mktemp -d "$cache/part.XXXXXX")
    "$here/root.sh" "$made/root" >"$work/root.log" 2>&1 || { tail -n 30 "$work/root.log" >&2; return 1; }
    mke2fs -q -t ext4 -d "$made/root" "$made/image" 1G >/dev/null
    mv "$made/image" "$image"
    rm -rf --one-file-system "$made"
  fi
  printf '%s\n' "$image"
}

# A first root file system in memory, with what it takes to find the disks.
make_initrd() {
  local kernel=$1 version=$2 out=$3 dir=$work/initrd module path
  rm -rf "$dir"
  mkdir -p "$dir"/{bin,dev,proc,new,modules}
  cp "$(command -v busybox)" "$dir/bin/busybox"
  cp "$here/initrd.sh" "$dir/init"
  : >"$dir/load"
  for module in virtio_pci virtio_blk ext4 crc32c_generic; do
    # Dependencies last in modules.dep, first to be loaded.
    path=$(grep -E "/$module\.ko(\.xz)?:" "$kernel/lib/modules/$version/modules.dep" || true)
    for path in $(tr ' ' '\n' <<<"${path/:/ }" | sed '/^$/d' | tac); do
      load "$kernel/lib/modules/$version/$path" "$dir"
    done
  done
  (cd "$dir" && find . | busybox cpio -o -H newc 2>/dev/null) >"$out"
}

load() {
  local name
  name=$(basename "${1%.xz}")
  if grep -qx "$name" "$2/load"; then return; fi
  case $1 in
    *.xz) xz -dc "$1" >"$2/modules/$name" ;;
    *) cp "$1" "$2/modules/$name" ;;
  esac
  printf '%s\n' "$name" >>"$2/load"
}

# The second disk: the program, the checks, a store with images, the kernel's modules.
make_disk() {
  local kernel=$1 version=$2 out=$3 dir=$work/disk
  rm -rf "$dir"
  mkdir -p "$dir/modules"
  cp -a "$work/store" "$dir/store"
  cp "$work/stack" "$here"/*.sh "$dir/"
  cp -a "$kernel/lib/modules/$version" "$dir/modules/"
  mke2fs -q -t ext4 -d "$dir" "$out" 1G >/dev/null
}

find_stack() {
  local candidate
  for candidate in "${STACK:-}" "$top"/target/*/debug/stack "$top"/target/debug/stack; do
    if [ -x "$candidate" ]; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  die "no stack program: run \`cargo build\`, or name one in STACK"
}

# The program without what only a debugger reads, and a store with the images that the checks use.
prepare_stack() {
  local tar layer=$work/layer
  strip -o "$work/stack" "$(find_stack)"
  tar=$("$top/examples/images/build.sh" --tars busybox | awk '{ print $3 }')
  mkdir -p "$layer/layered"
  printf 'of the upper layer\n' >"$layer/layered/file"
  tar -C "$layer" -cf "$work/layer.tar" .
  export STACK_ROOT=$work/store
  "$work/stack" image import "$tar" busybox >/dev/null
  "$work/stack" image import --base busybox "$work/layer.tar" layered >/dev/null
}

# Boots one machine and shows what it says; fails when a check failed, or when it did not come to its end.
boot() {
  local machine=$1 version=${1%/*} init=${1#*/} package kernel checks log=$work/log started=$SECONDS
  shift
  checks=$(IFS=, && printf '%s' "$*")
  package=$(kernel_package "$version")
  if [ -z "$package" ]; then die "apt has no cloud kernel $version; there are: $(machines | paste -sd' ')"; fi
  kernel=$(kernel "$package")
  version=${package#linux-image-}
  make_initrd "$kernel" "$version" "$work/initrd.cpio"
  make_disk "$kernel" "$version" "$work/disk.ext4"
  printf '=== %s (Linux %s)\n' "$machine" "$version"
  : >"$log"
  # Both disks are read only: what the machine writes is gone with it. A panic ends it.
  timeout "$patience" qemu-system-x86_64 -accel "${ACCEL:-tcg,thread=multi}" -cpu max -smp 2 -m 1024 \
    -kernel "$kernel/boot/vmlinuz-$version" -initrd "$work/initrd.cpio" \
    -append "console=ttyS0 quiet panic=-1 cgroup_no_v1=all machine.init=$init machine.checks=$checks" \
    -drive "file=$(root_image),if=virtio,format=raw,snapshot=on" \
    -drive "file=$work/disk.ext4,if=virtio,format=raw,snapshot=on" \
    -nic none -display none -monitor none -serial "file:$log" -no-reboot </dev/null || say "qemu ended with $?"
  tr -d '\r' <"$log" >"$log.text"
  if [ -n "${KEEP:-}" ]; then
    mkdir -p "$KEEP"
    cp "$log.text" "$KEEP/${machine/\//-}.log"
  fi
  if ! grep -q '^machine: ' "$log.text"; then
    tail -n 40 "$log.text"
    printf '=== %s did not come to its end within %d s\n' "$machine" $((SECONDS - started))
    return 1
  fi
  sed -n '/^machine begins/,/^machine: /{/^machine begins/d;p}' "$log.text"
  grep -q '^machine: .* 0 failed' "$log.text"
}

main() {
  local failed=() machine all=()
  case ${1:-} in
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
      exit
      ;;
    --list)
      machines
      sed -n 's/^check_\([a-z0-9_]*\)() .*/  \1/p' "$here/checks.sh"
      exit
      ;;
  esac
  if [ "$(id -u)" -ne 0 ]; then die "needs root, for the packages and the owners of files"; fi
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9
  rm -rf --one-file-system "$cache"/part.*
  install_packages
  work=$(mktemp -d)
  PATH=$PATH:/usr/sbin:/sbin
  prepare_stack
  if [ $# -gt 0 ]; then
    boot "$@" || exit 1
    return
  fi
  mapfile -t all < <(machines)
  if [ ${#all[@]} -eq 0 ]; then die "apt has no cloud kernel: apt-get update"; fi
  for machine in "${all[@]}"; do boot "$machine" || failed+=("$machine"); done
  if [ ${#failed[@]} -gt 0 ]; then die "failed: ${failed[*]}"; fi
}

main "$@"
