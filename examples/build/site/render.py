"""Fills the page: render.py MENU PAGE KEY."""

import hashlib
import hmac
import html
import json
import pathlib
import string
import sys

menu, page, key = (pathlib.Path(path).read_bytes() for path in sys.argv[1:])
facts = json.loads(menu)
print(
    string.Template(page.decode()).substitute(
        edition=html.escape(facts["edition"]),
        teas="\n".join(f"    <li>{html.escape(tea)}</li>" for tea in facts["teas"]),
        signature=hmac.new(key, menu, hashlib.sha256).hexdigest(),
    )
)
