#!/bin/sh
# Becomes redis-server as user redis, or any other command as it is.
set -eu

# `docker run redis --appendonly yes` and `docker run redis /some.conf` mean redis-server.
case ${1:-} in
  -* | *.conf) set -- redis-server "$@" ;;
esac

if [ "$1" = redis-server ]; then
  # A fresh bind mount or volume belongs to root; what another user owns on purpose is left alone.
  if [ "$(id -u)" = 0 ]; then
    find . \! -user redis -user root -exec chown redis:redis {} +
    set -- setpriv --reuid redis --regid redis --clear-groups "$@"
  fi
  # Protected mode refuses every client that is not on localhost: inside a container, everybody.
  case " $* " in
    *' --protected-mode '*) ;;
    *) set -- "$@" --protected-mode no ;;
  esac
  umask 0077
fi
exec "$@"
