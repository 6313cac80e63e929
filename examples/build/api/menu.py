"""Prints the menu of an edition as JSON."""

import json
import sys

TEAS = {
    "spring": ["Longjing", "Darjeeling first flush", "Shincha"],
    "winter": ["Pu-erh", "Lapsang souchong"],
}

edition = sys.argv[1]
if edition not in TEAS:
    sys.exit(f"no edition {edition!r}; there are: {', '.join(TEAS)}")
json.dump({"edition": edition, "teas": TEAS[edition]}, sys.stdout)
