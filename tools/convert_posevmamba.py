"""Turn a checkpoint of the authors' release (PoseVMamba) into one in this package's names.

python tools/convert_posevmamba.py SRC DST
"""

import argparse
import io
from pathlib import Path

import torch

from hrvmamba.checkpoints import convert_posevmamba
from hrvmamba.cli.errors import refuse
from hrvmamba.cli.whole_file import whole_file


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, ``sys.argv`` if no arguments are given.

    Raises:
        SystemExit: with status 2, after one line on stderr, if the file is refused.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "source",
        metavar="SRC",
        help="the authors' file: a runner checkpoint, or ImageNet weights under 'model_ema' or "
        "'model' (the first that is there)",
    )
    parser.add_argument("destination", metavar="DST", help="the file to write")
    options = parser.parse_args(arguments)

    destination = Path(options.destination)
    try:
        converted = convert_posevmamba(options.source)
        content = io.BytesIO()  # torch.save to a full disk tells nothing of the disk
        torch.save({"state_dict": converted.state_dict}, content)
        with whole_file(destination) as partial:
            partial.write_bytes(content.getbuffer())
    except (ValueError, OSError) as error:
        refuse(error)
    print(converted)
    if converted.key is not None:
        print(f"weights from {converted.key!r} of {options.source}")
    print(f"written to {destination}")


if __name__ == "__main__":
    main()
