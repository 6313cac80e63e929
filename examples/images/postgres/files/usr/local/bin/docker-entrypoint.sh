#!/bin/bash
# Makes a database cluster in $PGDATA at the first start, as the settings below say, then becomes the command.
#
#   POSTGRES_PASSWORD          the superuser's password (needed, unless POSTGRES_HOST_AUTH_METHOD=trust)
#   POSTGRES_USER              the superuser's name (postgres)
#   POSTGRES_DB                a database to make (the user's name)
#   POSTGRES_INITDB_ARGS       more arguments for initdb
#   POSTGRES_HOST_AUTH_METHOD  how clients on the network log in (scram-sha-256)
#   each NAME_FILE instead of NAME reads the value from a file
#   /docker-entrypoint-initdb.d/*.sql, *.sql.gz, *.sh are run once, in order, in the new database
set -Eeuo pipefail

# The cluster is made in a folder of its own and moved into place with PG_VERSION last: a container that is killed
# in the middle starts again from nothing, and not with half a database.
unfinished=$PGDATA/.unfinished

from_file() {
  local name=$1 file=${1}_FILE
  if [ -z "${!file:-}" ]; then return; fi
  if [ -n "${!name:-}" ]; then
    echo "error: both $name and $file are set; keep one" >&2
    exit 1
  fi
  export "$name"="$(<"${!file}")"
  unset "$file"
}

settings() {
  local name
  for name in POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB POSTGRES_INITDB_ARGS; do from_file "$name"; done
  : "${POSTGRES_USER:=postgres}" "${POSTGRES_PASSWORD:=}" "${POSTGRES_INITDB_ARGS:=}"
  : "${POSTGRES_DB:=$POSTGRES_USER}" "${POSTGRES_HOST_AUTH_METHOD:=scram-sha-256}"
  if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
    echo "error: the database has no password: set POSTGRES_PASSWORD (or, where every client may be trusted, POSTGRES_HOST_AUTH_METHOD=trust)" >&2
    exit 1
  fi
}

query() {
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --host /var/run/postgresql "$@"
}

run_scripts() {
  local script
  export PGHOST=/var/run/postgresql PGUSER=$POSTGRES_USER PGDATABASE=$POSTGRES_DB
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sh) echo "running $script" && if [ -x "$script" ]; then "$script"; else . "$script"; fi ;;
      *.sql) echo "running $script" && query --dbname "$POSTGRES_DB" --file "$script" ;;
      *.sql.gz) echo "running $script" && gunzip --stdout "$script" | query --dbname "$POSTGRES_DB" ;;
      */\*) ;;
      *) echo "ignoring $script" ;;
    esac
  done
  unset PGHOST PGUSER PGDATABASE
}

make_cluster() {
  rm -rf "$unfinished"
  mkdir -m 700 "$unfinished"
  # shellcheck disable=SC2086 # the arguments are words
  initdb --pgdata "$unfinished" --username "$POSTGRES_USER" --pwfile <(printf '%s\n' "$POSTGRES_PASSWORD") \
    --auth-local trust --auth-host "$POSTGRES_HOST_AUTH_METHOD" --no-sync $POSTGRES_INITDB_ARGS
  printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >>"$unfinished/pg_hba.conf"

  # Only on the socket: nobody outside takes the half-made database for a ready one.
  pg_ctl --pgdata "$unfinished" --options "-c listen_addresses='' -c unix_socket_directories=/var/run/postgresql" --wait start
  if [ "$POSTGRES_DB" != postgres ]; then
    query --dbname postgres --set name="$POSTGRES_DB" <<<'create database :"name";'
  fi
  run_scripts
  pg_ctl --pgdata "$unfinished" --mode fast --wait stop

  find "$unfinished" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
  sync
  mv "$unfinished/PG_VERSION" "$PGDATA/"
  rmdir "$unfinished"
  echo 'the database is made; starting the server'
}

prepare_as_root() {
  mkdir -p "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  find "$PGDATA" \! -user postgres -exec chown postgres {} +
  find /var/run/postgresql \! -user postgres -exec chown postgres {} +
}

only_asks() {
  local argument
  for argument; do
    case $argument in '-?' | --help | --describe-config | -V | --version) return 0 ;; esac
  done
  return 1
}

if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
if [ "$1" = postgres ] && ! only_asks "$@"; then
  if [ "$(id -u)" = 0 ]; then
    prepare_as_root
    exec setpriv --reuid postgres --regid postgres --init-groups "${BASH_SOURCE[0]}" "$@"
  fi
  if [ ! -s "$PGDATA/PG_VERSION" ]; then
    settings
    make_cluster
  fi
fi
exec "$@"
