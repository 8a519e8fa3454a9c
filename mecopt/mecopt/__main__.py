"""The command `mecopt`, also ``python -m mecopt``: an interrupt is one line from the first import on."""

import gc
import sys

SELDOM = 20_000  # objects between two looks for garbage: what is imported and read is none


def run() -> None:
    """Run the command line and leave with its exit status."""
    gc.set_threshold(SELDOM)
    try:
        from mecopt.cli import main  # here, so that an interrupt while it is imported is no traceback

        main()
    except KeyboardInterrupt:
        sys.stderr.write("mecopt: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    run()
