"""Applies the files of migrations/ that the database has not had yet, in order, each in a transaction."""

import os
import pathlib

import psycopg2

MIGRATIONS = pathlib.Path(__file__).parent / "migrations"


def main():
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "create table if not exists migrations"
            " (name text primary key, applied_at timestamptz not null default now())"
        )
        # Two runs at once: the second waits here, and then finds nothing to do.
        cursor.execute("lock table migrations in exclusive mode")
        cursor.execute("select name from migrations")
        applied = {name for (name,) in cursor}
        for file in sorted(MIGRATIONS.glob("*.sql")):
            if file.name in applied:
                continue
            print(f"applying {file.name}")
            cursor.execute(file.read_text())
            cursor.execute("insert into migrations (name) values (%s)", (file.name,))
    connection.close()
    print("the database is up to date")


if __name__ == "__main__":
    main()
