"""The menu, and the signature by which the page can be told to be of the same making."""

import hashlib
import hmac
import http.server
import json
import pathlib

menu = pathlib.Path("/app/menu.json").read_bytes()
key = pathlib.Path("/run/secrets/signing_key").read_bytes()
ANSWERS = {
    "/menu": menu,
    "/signature": json.dumps(hmac.new(key, menu, hashlib.sha256).hexdigest()).encode(),
}


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = ANSWERS.get(self.path)
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(answer or b'"no such thing"')


print("listening on port 8000")
http.server.ThreadingHTTPServer(("", 8000), Api).serve_forever()
