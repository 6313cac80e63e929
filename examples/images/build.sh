#!/usr/bin/env bash
# Makes the example images from Debian packages and puts them into stack's image store.
#
#   build.sh [NAME…]          make and import the named images (default: all)
#   build.sh --tars [NAME…]   only make them; prints "NAME BASE-TAR-OR-DASH TAR" for each
#   build.sh --list           print the names
#
# One folder per image beside this script:
#   packages    Debian packages, one a line
#   changes     image settings, one Dockerfile instruction a line (`stack image import --change`)
#   base        the image this one is a layer on top of (absent: a root file system of its own)
#   before.sh   run in the root file system before the packages are installed
#   after.sh    run in it afterwards
#   files/      copied over the root file system last
#
# The archives are kept in ${XDG_CACHE_HOME:-~/.cache}/stack-examples under a hash of everything that went
# into them, so a second run only looks. The machine's own apt sources and proxy settings are used.
#
#   STACK   the stack program (default: this checkout's release build, else `stack` from PATH)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/stack-examples
readonly all=(busybox debian nginx redis postgres python)
# The label by which an imported image says which recipe it was made from.
readonly recipe_label=stack.example.recipe
work=

say() { printf '%s\n' "$*" >&2; }
die() {
  say "build.sh: $*"
  exit 1
}

clean_up() {
  if [ -n "$work" ]; then rm -rf --one-file-system "$work"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A hash over the script, the recipe and, for a layer, the recipe below it.
key_of() {
  local name=$1
  {
    cat "$here/build.sh" "$here/layer.sh"
    . /etc/os-release && printf '%s %s %s\n' "$ID" "${VERSION_CODENAME:-}" "$(dpkg --print-architecture)"
    (cd "$here/$name" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
    (cd "$here/$name" && find . -type f -perm -u+x -print | LC_ALL=C sort)
    if [ -f "$here/$name/base" ]; then key_of "$(cat "$here/$name/base")"; fi
  } | sha256sum | cut -c1-16
}

tar_of() { printf '%s/%s-%s.tar\n' "$cache" "$1" "$(key_of "$1")"; }

install_tools() {
  local missing=()
  command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
  command -v getfattr >/dev/null || missing+=(attr)
  command -v unshare >/dev/null || missing+=(util-linux)
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  say "installing ${missing[*]}"
  refresh_package_lists
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

package_lists_refreshed=no
refresh_package_lists() {
  if [ "$package_lists_refreshed" = yes ]; then return; fi
  apt-get update -qq
  package_lists_refreshed=yes
}

# The host's own sources for its own release: third parties' repositories are left out, and a `mirror+file:` list
# is replaced by its first mirror, because that file does not exist inside the image.
debian_sources() {
  local codename out=$1 file mirror
  codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  : >"$out"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    if [ ! -f "$file" ]; then continue; fi
    awk -v release="$codename" '
      $1 == "deb" {
        line = $0; gsub(/\[[^]]*\]/, ""); suite = $3
        if (suite ~ ("^" release "(-updates|-security|/updates)?$") && $0 ~ / main( |$)/) print line
      }' "$file" >>"$out"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    if [ ! -f "$file" ]; then continue; fi
    awk -v release="$codename" '
      BEGIN { RS = ""; FS = "\n" }
      {
        types = suites = components = ""; enabled = "yes"
        for (i = 1; i <= NF; i++) {
          value = $i; sub(/^[^:]*:[ \t]*/, "", value)
          if ($i ~ /^Types:/) types = value
          if ($i ~ /^Suites:/) suites = " " value " "
          if ($i ~ /^Components:/) components = " " value " "
          if ($i ~ /^Enabled:/) enabled = value
        }
        if (types ~ /(^| )deb( |$)/ && components ~ / main / && enabled != "no" \
          && suites ~ (" " release "(-updates|-security)? ")) print $0 "\n"
      }' "$file" | sed '/^#/d' >"$out.part"
    # The two styles cannot share a file; one of them is what a machine has.
    if [ -s "$out.part" ]; then
      if [ -s "$out" ]; then die "both $file and an older-style list name $codename; keep one of the two styles"; fi
      cat "$out.part" >>"$out.deb822"
    fi
  done
  if [ -s "$out.deb822" ]; then mv "$out.deb822" "$out"; fi
  while read -r file; do
    mirror=$(awk '!/^#/ && NF { print $1; exit }' "$file")
    sed -i "s|mirror+file://*$file|$mirror|g" "$out"
  done < <(grep -o 'mirror+file:[^ ]*' "$out" | sed 's|^mirror+file://*|/|' | sort -u)
}

make_busybox() {
  local root=$work/busybox applet
  say "busybox: from package busybox-static"
  # Downloaded and unpacked, not installed: the package conflicts with `busybox`, which other systems boot with.
  if ! apt-cache show busybox-static >/dev/null 2>&1; then refresh_package_lists; fi
  mkdir -p "$root" "$work/busybox.deb"
  (cd "$work/busybox.deb" && apt-get download -qq -o APT::Sandbox::User=root busybox-static) \
    || { refresh_package_lists && (cd "$work/busybox.deb" && apt-get download -qq -o APT::Sandbox::User=root busybox-static); }
  dpkg-deb -x "$work"/busybox.deb/*.deb "$work/busybox.deb/x"
  mkdir -p "$root"/{bin,dev,etc,home,proc,root,run,sys,tmp,usr/bin,usr/sbin,var/log,var/spool,var/www}
  ln -s bin "$root/sbin"
  chmod 1777 "$root/tmp"
  chmod 700 "$root/root"
  find "$work/busybox.deb/x" -type f -name busybox -exec install -m 755 {} "$root/bin/busybox" \;
  for applet in $("$root/bin/busybox" --list); do
    if [ "$applet" != busybox ]; then ln "$root/bin/busybox" "$root/bin/$applet"; fi
  done
  ln -s ../../bin/env "$root/usr/bin/env"
  printf 'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n' >"$root/etc/passwd"
  printf 'root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n' >"$root/etc/group"
  pack "$root" "$1"
}

pack() {
  tar --create --file "$2.part" --directory "$1" --sort=name --numeric-owner --xattrs --xattrs-include='*' \
    --xattrs-exclude='trusted.overlay.*' --one-file-system .
  mv "$2.part" "$2"
}

apt_settings() {
  {
    apt-config dump | grep -E '^Acquire::(https?::.*[Pp]roxy|Check-Valid-Until|Check-Date|Retries)' || true
    echo 'APT::Install-Recommends "false";'
  } >"$1"
}

make_debian() {
  local sources=$work/sources mirrors=() packages hook=/usr/share/mmdebstrap/hooks/merged-usr
  say "debian: the base, from $(. /etc/os-release && printf '%s' "$PRETTY_NAME") packages"
  debian_sources "$sources"
  # Without any, mmdebstrap knows Debian's own.
  if [ -s "$sources" ]; then mirrors=("$sources"); fi
  apt_settings "$work/apt.conf"
  packages=$(grep -v '^#' "$here/debian/packages" | paste -sd,)
  # Debian 12 merges /usr by a package that brings all of Perl; the hook lays the links itself. Later releases need neither.
  if [ "$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")" = bookworm ] && [ -d "$hook" ]; then
    packages+=,usr-is-merged
    hook=--hook-dir=$hook
  else
    hook=
  fi
  # Manual pages and translations are left out, here and in the layers on top (the settings stay in dpkg.cfg.d).
  mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" --format=directory \
    --aptopt="$work/apt.conf" ${hook:+"$hook"} \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
    "$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")" "$work/base" "${mirrors[@]}" \
    </dev/null >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    die "mmdebstrap failed; is this machine's Debian mirror in reach? (apt-get update)"
  }
  rm -rf "$work/base/etc/apt/apt.conf.d/99mmdebstrap" "$work/base"/dev/* "$work/base"/var/log/*.log "$work/base"/var/log/apt/*
  : >"$work/base/etc/hostname"
  : >"$work/base/etc/hosts"
  : >"$work/base/etc/resolv.conf"
  pack "$work/base" "$1"
}

make_layer() {
  local name=$1 out=$2 base
  base=$(cat "$here/$name/base")
  say "$name: $(grep -v '^#' "$here/$name/packages" | paste -sd' '), on top of $base"
  if [ ! -d "$work/base" ]; then
    mkdir "$work/base"
    tar --extract --file "$(tar_of "$base")" --directory "$work/base" --numeric-owner --same-permissions --xattrs --xattrs-include='*'
  fi
  mkdir -p "$work/lists"
  apt_settings "$work/apt.conf"
  # Namespaces of its own: whatever happens, mounts and stray daemons go away with the last process.
  unshare --mount --pid --fork --kill-child --propagation private \
    "$here/layer.sh" "$here/$name" "$work" >&2
  pack "$work/$name/upper" "$out"
  rm -rf "${work:?}/$name"
}

make() {
  local name=$1 tar
  tar=$(tar_of "$name")
  if [ -f "$tar" ]; then return; fi
  if [ -f "$here/$name/base" ]; then make "$(cat "$here/$name/base")"; fi
  if [ "$(id -u)" -ne 0 ]; then die "making images needs root; run: sudo -E $0 $name"; fi
  command -v apt-get >/dev/null || die "the images are made from Debian packages, and this machine has no apt-get; pull them from a registry instead: stack pull"
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9
  # Another run may have made it while this one waited.
  if [ ! -f "$tar" ]; then
    install_tools
    if [ -z "$work" ]; then
      # Whoever holds the lock owns every build folder: what is there now was left by a run that was killed.
      rm -rf --one-file-system "$cache"/build.*
      work=$(mktemp -d "$cache/build.XXXXXX")
      chmod 755 "$work"
    fi
    case $name in
      busybox) make_busybox "$tar" ;;
      debian) make_debian "$tar" ;;
      *) make_layer "$name" "$tar" ;;
    esac
    find "$cache" -maxdepth 1 -name "$name-*.tar" ! -path "$tar" -delete
  fi
  if [ -z "$work" ]; then exec 9>&-; fi
}

find_stack() {
  local candidate
  if [ -n "${STACK:-}" ]; then
    command -v "$STACK" || die "STACK=$STACK is not a program"
    return
  fi
  for candidate in "$here"/../../target/*/release/stack "$here"/../../target/release/stack; do
    if [ -x "$candidate" ]; then
      realpath "$candidate"
      return
    fi
  done
  command -v stack || die "no stack program: run \`cargo build --release\` first, or name one in STACK"
}

# Imports NAME unless the store has it: from this recipe, or under this name from somewhere else (a registry).
import() {
  local name=$1 stack=$2 key tar found arguments=() line
  key=$(key_of "$name")
  if found=$("$stack" image inspect "$name" 2>/dev/null); then
    if ! grep -q "$recipe_label" <<<"$found"; then
      say "$name: the store has one from elsewhere; left as it is"
      return
    fi
    if grep -q "$key" <<<"$found"; then return; fi
  fi
  make "$name"
  tar=$(tar_of "$name")
  if [ -f "$here/$name/base" ]; then
    line=$(cat "$here/$name/base")
    import "$line" "$stack"
    arguments+=(--base "$line")
  fi
  while IFS= read -r line; do
    case $line in '' | '#'*) ;; *) arguments+=(--change "$line") ;; esac
  done <"$here/$name/changes"
  arguments+=(--change "LABEL $recipe_label=$key")
  say "$name: importing"
  "$stack" image import "${arguments[@]}" "$tar" "$name" >/dev/null
}

main() {
  local mode=import name names=() stack base
  while [ $# -gt 0 ]; do
    case $1 in
      --tars) mode=tars ;;
      --list) mode=list ;;
      -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit ;;
      -*) die "no option $1; see $0 --help" ;;
      *) names+=("$1") ;;
    esac
    shift
  done
  if [ ${#names[@]} -eq 0 ]; then names=("${all[@]}"); fi
  for name in "${names[@]}"; do
    [ -f "$here/$name/changes" ] || die "no image $name; there are: ${all[*]}"
  done
  case $mode in
    list) printf '%s\n' "${all[@]}" ;;
    tars)
      for name in "${names[@]}"; do
        make "$name"
        base=-
        if [ -f "$here/$name/base" ]; then base=$(tar_of "$(cat "$here/$name/base")"); fi
        printf '%s %s %s\n' "$name" "$base" "$(tar_of "$name")"
      done
      ;;
    import)
      stack=$(find_stack)
      for name in "${names[@]}"; do import "$name" "$stack"; done
      ;;
  esac
}

main "$@"
