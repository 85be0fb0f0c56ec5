"""Draw synthetic people and write them in COCO's keypoint format."""

import argparse
import signal
import sys

from hrvmamba.cli.errors import refuse
from hrvmamba.datasets import CASTS, make_synthetic_coco


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", metavar="OUT", help="folder to make")
    parser.add_argument("--num-train", type=int, default=1200, help="training images (%(default)s)")
    parser.add_argument("--num-val", type=int, default=200, help="held-out images (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same files (0)"
    )
    parser.add_argument(
        "--width", type=int, default=256, help="of an image in pixels (%(default)s)"
    )
    parser.add_argument(
        "--height", type=int, default=256, help="of an image in pixels (%(default)s)"
    )
    parser.add_argument(
        "--cast",
        choices=CASTS,
        default="varied",
        help="varied: one to four people, all poses, from all sides; simple: one whole person, "
        "upright, seen from the front (%(default)s)",
    )
    parser.add_argument("--workers", type=int, help="processes (all cores)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a set made with other parameters"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, ``sys.argv`` if no arguments are given.

    Raises:
        SystemExit: After one line on stderr: with status 2 if the data set cannot be made, 130 if
            it was interrupted.
    """
    options = parse_arguments(arguments)
    try:
        folder = make_synthetic_coco(
            options.out,
            num_train=options.num_train,
            num_val=options.num_val,
            seed=options.seed,
            image_size=(options.width, options.height),
            cast=options.cast,
            workers=options.workers,
            overwrite=options.overwrite,
        )
    except (ValueError, OSError) as error:
        refuse(error)
    except KeyboardInterrupt:
        print("error: interrupted; nothing was written", file=sys.stderr)
        raise SystemExit(130) from None
    print(f"synthetic people are in {folder}")


if __name__ == "__main__":
    # Ended by a job scheduler or a time limit, it cleans up as it does after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
