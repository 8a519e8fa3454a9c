"""``python -m mecopt``: the same as the command `mecopt`."""

from mecopt.cli import main

if __name__ == "__main__":
    main()
