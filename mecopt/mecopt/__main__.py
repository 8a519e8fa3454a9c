"""The command `mecopt`, also ``python -m mecopt``: an interrupt is one line from the first import on."""

import sys


def run() -> None:
    """Run the command line and leave with its exit status."""
    try:
        from mecopt.cli import main  # here, so that an interrupt while it is imported is no traceback

        main()
    except KeyboardInterrupt:
        sys.stderr.write("mecopt: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    run()
