"""Logs of a training: one CSV table, and TensorBoard."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mecopt.errors import MecoptError
from mecopt.files import write_bytes

CSV_NAME, TENSORBOARD = "log.csv", "tensorboard"


class Logs:
    """Both logs of one training; `done` are the rows of the rounds before it was interrupted.

    Parameters
    ----------
    folder : Path
    done : sequence of dict
    """

    def __init__(self, folder: Path, done: Sequence[dict[str, Any]] = ()) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path, self.rows = folder / CSV_NAME, list(done)
        following = self.rows[-1]["episodes"] + 1 if self.rows else 0
        self._hook = threading.excepthook
        threading.excepthook = self._without_writers
        with self._explained():
            self.writer = SummaryWriter(str(folder / TENSORBOARD), purge_step=following)

    def add(self, row: dict[str, Any]) -> None:
        """Add what a round gave.

        Raises
        ------
        MecoptError
            If the disk is full.
        """
        self.rows.append(row)
        with self._explained():
            for name, value in row.items():
                if isinstance(value, (int, float)) and name not in ("round", "episodes"):
                    self.writer.add_scalar(name, value, row["episodes"])
            self.writer.flush()
        names = list(dict.fromkeys(name for one in self.rows for name in one))
        text = io.StringIO()
        table = csv.DictWriter(text, names, lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write_bytes(self.path, text.getvalue().encode())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = self.path.with_name(TENSORBOARD)
            raise MecoptError(f"{place}: could not be written: {error.strerror or error}") from None

    def close(self) -> None:
        """Finish the TensorBoard file; what cannot be written was said when it was added."""
        with suppress(OSError):
            self.writer.close()
        threading.excepthook = self._hook

    def _without_writers(self, failed: threading.ExceptHookArgs) -> None:
        """Leave out what TensorBoard's thread could not write, which `add` says too, in one line."""
        if not (isinstance(failed.exc_value, OSError) and "tensorboard" in type(failed.thread).__module__):
            self._hook(failed)
