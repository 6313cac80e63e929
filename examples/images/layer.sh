#!/usr/bin/env bash
# Makes one image layer: installs an image's packages on top of a base and leaves the difference in WORK/NAME/upper.
# Called by build.sh in mount and process namespaces of its own, so nothing needs to be unmounted or ended here.
#
#   layer.sh IMAGE-FOLDER WORK     WORK has base/ (the root file system below), lists/ and apt.conf
set -euo pipefail

recipe=$1
work=$2
name=$(basename "$recipe")
layer=$work/$name
root=$layer/root

rm -rf "$layer"
mkdir -p "$layer/upper" "$layer/work" "$root"
# Plain copies and whiteouts only: a layer archive has no words for the kernel's redirect and metacopy shortcuts.
mount -t overlay overlay -o "lowerdir=$work/base,upperdir=$layer/upper,workdir=$layer/work,redirect_dir=off,metacopy=off,index=off" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
mount --bind /etc/hosts "$root/etc/hosts"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/var/cache/apt"
mount --bind "$work/lists" "$root/var/lib/apt/lists"
cp "$work/apt.conf" "$root/tmp/apt.conf"
# Package scripts must not start daemons.
printf '#!/bin/sh\nexit 101\n' >"$root/tmp/policy-rc.d"
chmod 755 "$root/tmp/policy-rc.d"
: >"$root/usr/sbin/policy-rc.d"
mount --bind "$root/tmp/policy-rc.d" "$root/usr/sbin/policy-rc.d"

inside() {
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive APT_CONFIG=/tmp/apt.conf \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
    chroot "$root" "$@"
}

run_recipe_script() {
  if [ -f "$recipe/$1" ]; then
    cp "$recipe/$1" "$root/tmp/$1"
    inside sh -eu "/tmp/$1"
  fi
}

run_recipe_script before.sh
if [ -z "$(ls -A "$work/lists")" ]; then inside apt-get update -qq; fi
mapfile -t packages < <(grep -v '^#' "$recipe/packages")
inside apt-get install -qq -y --no-install-recommends -o APT::Sandbox::User=root -o Dpkg::Options::=--force-confold \
  -o Dpkg::Use-Pty=0 "${packages[@]}" >"$layer/log" 2>&1 || {
  tail -n 30 "$layer/log"
  echo "$name: apt-get install failed" >&2
  exit 1
}
run_recipe_script after.sh
if [ -d "$recipe/files" ]; then cp -R --no-preserve=ownership,timestamps "$recipe/files/." "$root/"; fi

umount "$root/usr/sbin/policy-rc.d"
rm "$root/usr/sbin/policy-rc.d"
rm -rf "$root"/run/adduser "$root"/var/log/apt/* "$root"/var/log/*.log "$root"/var/lib/dpkg/*-old "$root"/var/cache/debconf/*-old
umount --recursive "$root" || umount --recursive --lazy "$root"

# The kernel's whiteouts become the layer archive's (OCI image specification, layer.md).
find "$layer/upper" -type c -print0 | while IFS= read -r -d '' path; do
  if [ "$(stat -c %t:%T "$path")" = 0:0 ]; then
    rm "$path"
    : >"$(dirname "$path")/.wh.$(basename "$path")"
  fi
done
# `|| true`: getfattr fails where no directory has the attribute, which is the usual case.
{ getfattr --recursive --physical --absolute-names -n trusted.overlay.opaque "$layer/upper" 2>/dev/null || true; } \
  | sed -n 's/^# file: //p' | while IFS= read -r directory; do
  # The kernel marks every directory it makes; only one that hides another needs the mark in the archive.
  if [ -d "$work/base/${directory#"$layer/upper/"}" ]; then : >"$directory/.wh..wh..opq"; fi
done
