#!/usr/bin/env bash
# Makes the root file system of the machines in the directory that is named: Debian 12 or what this machine runs.
set -euo pipefail

out=$1
release=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
hook=/usr/share/mmdebstrap/hooks/merged-usr
packages=systemd,systemd-sysv,kmod,iproute2,nftables,curl,jq,procps,util-linux
mkdir -p "$out"
# The machine's own settings of apt: proxies and mirrors.
mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" --format=directory --hook-dir="$hook" \
  --include=usr-is-merged --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' "$release" "$out" </dev/null
rm -rf "$out"/var/cache/apt/* "$out"/var/lib/apt/lists/* "$out"/dev/*
mkdir -p "$out/machine" "$out/usr/lib/modules"
cat >"$out/etc/systemd/system/machine.service" <<'END'
[Unit]
Description=The checks
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/machine/checks.sh
TimeoutStartSec=infinity

[Install]
WantedBy=default.target
END
mkdir -p "$out/etc/systemd/system/default.target.wants"
ln -sf ../machine.service "$out/etc/systemd/system/default.target.wants/machine.service"
ln -sf /lib/systemd/system/multi-user.target "$out/etc/systemd/system/default.target"
: >"$out/etc/fstab"
echo machine >"$out/etc/hostname"
printf '127.0.0.1 localhost\n' >"$out/etc/hosts"
