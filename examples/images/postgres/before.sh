# The user and its id as in the image on Docker Hub: files on volumes keep their owner.
groupadd --system --gid 999 postgres
useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres
install -d -o postgres -g postgres /var/lib/postgresql
# No cluster of Debian's own: the entrypoint makes one where PGDATA says.
mkdir -p /etc/postgresql-common
printf 'create_main_cluster = false\nssl = off\n' >/etc/postgresql-common/createcluster.conf
# LLVM is more than half of the package's weight, and only for compiling very long queries; PostgreSQL does without.
printf 'path-exclude=/usr/lib/*/libLLVM*\npath-exclude=/usr/lib/*/libz3*\npath-exclude=/usr/lib/postgresql/*/lib/llvmjit*\npath-exclude=/usr/lib/postgresql/*/lib/bitcode/*\npath-exclude=/usr/share/i18n/*\n' \
  >/etc/dpkg/dpkg.cfg.d/postgres-slim
