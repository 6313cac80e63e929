"""Takes orders from the queue, packs them, and marks them as shipped."""

import os
import signal
import sys
import time

import psycopg2
import redis

QUEUE_KEY = "orders:new"
PACKING_KEY = "orders:packing"
# Longer than this without an order, and the queue is asked again.
WAIT_SECONDS = 5


def ship(connection, order_id):
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "update orders set status = 'shipped', shipped_at = now() where id = %s and status = 'received'", (order_id,)
        )
        return cursor.rowcount == 1


def unfinished_orders(connection):
    """Orders that the queue may have lost: the database is what counts, Redis keeps nothing over a restart."""
    with connection, connection.cursor() as cursor:
        cursor.execute("select id from orders where status = 'received' order by id")
        return [order_id for (order_id,) in cursor]


def main():
    # A process with PID 1 gets no signal that it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    packing_time = float(os.environ.get("PACKING_TIME", "1"))
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    store = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)

    store.delete(QUEUE_KEY, PACKING_KEY)
    waiting = unfinished_orders(connection)
    if waiting:
        store.rpush(QUEUE_KEY, *waiting)
    print(f"waiting for orders ({len(waiting)} left from before)")

    while True:
        # Moved, not taken: what is being packed can be seen, with `redis-cli lrange orders:packing 0 -1`.
        order_id = store.blmove(QUEUE_KEY, PACKING_KEY, WAIT_SECONDS, "LEFT", "RIGHT")
        if order_id is None:
            continue
        print(f"packing order {order_id}")
        time.sleep(packing_time)
        if ship(connection, order_id):
            print(f"shipped order {order_id}")
        store.lrem(PACKING_KEY, 1, order_id)


if __name__ == "__main__":
    main()
