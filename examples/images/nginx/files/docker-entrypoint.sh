#!/bin/sh
# Prepares the configuration, then becomes the command: /etc/nginx/templates/*.template are filled in from the
# environment into /etc/nginx/conf.d, and the scripts in /docker-entrypoint.d are run in order.
set -eu

fill_in_templates() {
  for template in /etc/nginx/templates/*.template; do
    if [ ! -f "$template" ]; then continue; fi
    target=/etc/nginx/conf.d/$(basename "$template" .template)
    # Only what the environment has is replaced: nginx writes its own variables the same way.
    names=$(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/${\1}/p')
    envsubst "$names" <"$template" >"$target"
  done
}

run_scripts() {
  for script in /docker-entrypoint.d/*; do
    case $script in
      *.envsh) . "$script" ;;
      *.sh) if [ -x "$script" ]; then "$script"; fi ;;
    esac
  done
}

if [ "${1:-}" = nginx ]; then
  run_scripts
  fill_in_templates
fi
exec "$@"
