"""The shop's HTTP API: products and orders in PostgreSQL, a short cache and the queue of new orders in Redis."""

import json
import os
import time
from contextlib import contextmanager

import psycopg2.extras
import psycopg2.pool
import redis
from flask import Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException

PRODUCTS_KEY = "products"
PRODUCTS_FRESH_SECONDS = 30
QUEUE_KEY = "orders:new"
AN_ORDER = 'an order is {"product": ID, "quantity": 1 to 1000}'

app = Flask(__name__)
# Times as ISO 8601; whatever else JSON has no words for is a mistake.
app.json.default = lambda value: value.isoformat()
database = psycopg2.pool.ThreadedConnectionPool(0, 8, os.environ["DATABASE_URL"])
store = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


@contextmanager
def transaction():
    """One transaction on a pooled connection, as a cursor whose rows are dictionaries."""
    connection = database.getconn()
    try:
        with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            yield cursor
    finally:
        # A connection that the server has ended (it was restarted, say) must not be handed out again.
        database.putconn(connection, close=bool(connection.closed))


@app.get("/products")
def products():
    cached = store.get(PRODUCTS_KEY)
    if cached is not None:
        return Response(cached, mimetype="application/json", headers={"X-Cache": "hit"})
    with transaction() as cursor:
        cursor.execute("select id, name, price_cents, stock from products order by id")
        body = json.dumps(cursor.fetchall())
    store.setex(PRODUCTS_KEY, PRODUCTS_FRESH_SECONDS, body)
    return Response(body, mimetype="application/json", headers={"X-Cache": "miss"})


@app.get("/orders")
def orders():
    with transaction() as cursor:
        cursor.execute("select * from orders order by id desc limit 100")
        return jsonify(cursor.fetchall())


@app.get("/orders/<int:order_id>")
def order(order_id):
    with transaction() as cursor:
        cursor.execute("select * from orders where id = %s", (order_id,))
        row = cursor.fetchone()
    if row is None:
        abort(404, f"there is no order {order_id}")
    return jsonify(row)


@app.post("/orders")
def place_order():
    # Whatever the content type says: `curl -d` calls everything a form.
    wanted = request.get_json(force=True)
    if not isinstance(wanted, dict):
        abort(400, AN_ORDER)
    product_id, quantity = wanted.get("product"), wanted.get("quantity", 1)
    # `type`, not `isinstance`: true is an int to Python.
    if type(product_id) is not int or type(quantity) is not int or not 1 <= quantity <= 1000:
        abort(400, AN_ORDER)
    with transaction() as cursor:
        cursor.execute(
            "update products set stock = stock - %(quantity)s"
            " where id = %(product)s and stock >= %(quantity)s returning id",
            {"product": product_id, "quantity": quantity},
        )
        if cursor.fetchone() is None:
            abort(409, f"product {product_id} does not exist or has fewer than {quantity} left")
        cursor.execute(
            "insert into orders (product_id, quantity) values (%s, %s) returning *", (product_id, quantity)
        )
        row = cursor.fetchone()
    # After the commit: the worker must find the order that it is told about.
    store.delete(PRODUCTS_KEY)
    store.rpush(QUEUE_KEY, row["id"])
    return jsonify(row), 201, {"Location": f"/orders/{row['id']}"}


@app.get("/health")
def health():
    with transaction() as cursor:
        cursor.execute("select 1")
    store.ping()
    return jsonify(status="ok", time=time.time())


@app.errorhandler(HTTPException)
def explain(error):
    return jsonify(error=error.description), error.code
