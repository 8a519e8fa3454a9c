"""The command `mecopt`, also ``python -m mecopt``: an interrupt is one line from the first import on."""

import gc
import os
import sys

SELDOM = 20_000  # objects between two looks for garbage: what is imported and read is none
SPARED = {  # variables that spare a command, which is soon over, what libraries do at their start
    "PYDANTIC_DISABLE_PLUGINS": "__all__",  # else it opens a file of every installed package to find some
    "OPENBLAS_THREAD_TIMEOUT": "20",  # else each idle thread of numpy's is busy for 30 ms before it sleeps
}


def run() -> None:
    """Run the command line and leave with its exit status."""
    gc.set_threshold(SELDOM)
    for name, value in SPARED.items():
        os.environ.setdefault(name, value)
    try:
        from mecopt.cli import main  # here, so that an interrupt while it is imported is no traceback

        main()
    except KeyboardInterrupt:
        sys.stderr.write("mecopt: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    run()
