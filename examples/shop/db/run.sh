# The libraries, where the image has none: examples/images makes a python image that has them, a registry's has not.
set -eu
if ! python -c 'import flask, gunicorn, psycopg2, redis' 2>/dev/null; then
  python -m pip install --quiet --root-user-action=ignore --target /libraries --requirement /app/requirements.txt
fi
exec python /app/migrate.py
