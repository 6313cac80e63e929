#!/usr/bin/env bash
# From a fresh Debian machine with Rust to a running shop of six services, without Docker and without a registry.
#
#   examples/quickstart.sh          set up, start the shop, show it working
#   examples/quickstart.sh --down   stop the shop; its data stays
#   examples/quickstart.sh --clean  stop the shop and remove its data
#
#   SHOP_PORT=9000 examples/quickstart.sh   publishes it on another port (default 8080)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
started=$SECONDS
doing="starting"
sudo=()
if [ "$(id -u)" -ne 0 ]; then sudo=(sudo -E); fi

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' plain=$'\e[0m'; fi

headline() {
  doing=$1
  printf '\n%s── %s%s\n' "$bold" "$1" "$plain"
}

advise() {
  printf '\nquickstart: failed while %s.\n' "$doing" >&2
  case $doing in
    *packages*) echo 'Is the machine'"'"'s Debian mirror in reach? Try: apt-get update' >&2 ;;
    *building*) echo 'See the message of cargo above. It needs Rust 1.90 or newer: rustc --version' >&2 ;;
    *images*) echo 'The images are made from Debian packages; what failed stands above. Run this again: what is done is kept.' >&2 ;;
    *shop*)
      echo "Look at: ${stack[*]} ps -a    and: ${stack[*]} logs" >&2
      echo 'If the port is taken: SHOP_PORT=9000 examples/quickstart.sh' >&2
      ;;
  esac
}

find_stack() {
  local candidate
  for candidate in "$root"/target/*/release/stack "$root"/target/release/stack; do
    if [ -x "$candidate" ]; then
      STACK=$candidate
      stack=("${sudo[@]}" "$STACK" -f "$here/shop/stack.yaml")
      return
    fi
  done
  echo "there is no release build yet; run examples/quickstart.sh first" >&2
  return 1
}

install_packages() {
  local missing=()
  command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
  command -v getfattr >/dev/null || missing+=(attr)
  command -v curl >/dev/null || missing+=(curl)
  command -v cc >/dev/null || missing+=(gcc libc6-dev)
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  headline "installing Debian packages: ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

build() {
  headline "building stack"
  # rustup's cargo is not always in PATH yet.
  if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH=$HOME/.cargo/bin:$PATH; fi
  command -v cargo >/dev/null || {
    echo "cargo is missing: install Rust (rustup) and run this again" >&2
    return 1
  }
  (cd "$root" && cargo build --release --quiet)
  find_stack
  "$STACK" version
}

wait_for_shop() {
  local i
  for ((i = 0; i < 600; i++)); do
    if curl -fs -o /dev/null "$url/products"; then return; fi
    sleep 0.1
  done
  echo "$url/products does not answer after a minute" >&2
  return 1
}

show() {
  printf '\n$ %s\n' "$*"
  "$@"
}

order_and_wait() {
  local place i
  printf '\n$ curl -d '"'"'{"product": 2, "quantity": 3}'"'"' %s/orders\n' "$url"
  place=$(curl -fsS -d '{"product": 2, "quantity": 3}' -D - "$url/orders")
  tail -n 1 <<<"$place"
  place=$(sed -n 's/^Location: \([^\r]*\).*/\1/p' <<<"$place")
  for ((i = 0; i < 100; i++)); do
    if curl -fs "$url$place" | grep -q '"shipped"'; then break; fi
    sleep 0.1
  done
  show curl -fsS "$url$place"
}

case ${1:-} in
  '') ;;
  --down | --clean)
    find_stack
    if [ "$1" = --clean ]; then exec "${stack[@]}" down --volumes; fi
    exec "${stack[@]}" down
    ;;
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
    exit
    ;;
  *)
    echo "quickstart: no option $1; see $0 --help" >&2
    exit 2
    ;;
esac

stack=(stack)
trap 'if [ $? -ne 0 ]; then advise; fi' EXIT
install_packages
build

headline "making the images (cached: only the first time takes a minute)"
STACK=$STACK "${sudo[@]}" "$here/images/build.sh" nginx python postgres redis

headline "starting the shop"
"${stack[@]}" up -d
port=${SHOP_PORT:-$(sed -n 's/^SHOP_PORT=//p' "$here/shop/.env")}
url=http://localhost:$port
wait_for_shop

headline "the shop at work"
printf '$ curl %s/products\n' "$url"
curl -fsS "$url/products"
echo
order_and_wait
printf '\n$ stack ps\n'
"${stack[@]}" ps
printf '\n$ stack logs -n 3 worker nginx\n'
"${stack[@]}" logs -n 3 worker nginx

trap - EXIT
headline "ready after $((SECONDS - started)) seconds"
cat <<END
Open        $url
Look        ${stack[*]} ps
            ${stack[*]} logs -f
Stop        examples/quickstart.sh --down      (its data stays; --clean removes it too)
END
