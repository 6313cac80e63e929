"""Ends with 0 if the API answers and reaches its database and its cache: the service's health check."""

import sys
import urllib.request

try:
    urllib.request.urlopen("http://127.0.0.1:8000/health", timeout=2)
except OSError as error:
    sys.exit(f"not healthy: {error}")
