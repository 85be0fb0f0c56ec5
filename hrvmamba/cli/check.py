"""`hrvmamba check`: what is installed and works, by :mod:`hrvmamba.analysis.installation`."""

import argparse
import json

HELP = "say what is installed here, test it, and advise on each problem"

EXAMPLES = """
hrvmamba check                  # paste this into an issue
hrvmamba check --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hrvmamba check`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print the report; the status is 1 if there are problems."""
    from hrvmamba.analysis.installation import check_installation

    installation = check_installation()
    print(json.dumps(installation.as_dict(), indent=1) if options.json else installation)
    return 1 if installation.problems else 0
