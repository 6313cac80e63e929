version=$(ls /usr/lib/postgresql)
mkdir -p /usr/local/lib/postgresql
ln -s "/usr/lib/postgresql/$version/bin" /usr/local/lib/postgresql/bin
# The server listens for other containers; who may log in is pg_hba.conf's affair, which the entrypoint writes.
sed -i "s/^#\?listen_addresses = .*/listen_addresses = '*'/" "/usr/share/postgresql/$version/postgresql.conf.sample"
install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data
install -d -o postgres -g postgres -m 3777 /var/run/postgresql
mkdir -p /docker-entrypoint-initdb.d
