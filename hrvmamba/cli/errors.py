"""How a program ends when it cannot do what it is asked."""

import sys
from typing import NoReturn


def refuse(reason: object) -> NoReturn:
    """End the program with one line on stderr and status 2, as argparse does."""
    line = "; ".join(str(reason).splitlines())
    print(f"error: {line}", file=sys.stderr)
    raise SystemExit(2)
