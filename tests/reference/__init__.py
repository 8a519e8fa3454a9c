"""The model in slow, scalar form: one placement at a time, from a document in file form.

Nothing of mecopt's own is imported here. What the package does with arrays these files do with loops, so
that the two can only agree when both follow the same equations: `document` is what a file says, `steps` a
step of the chain (Eq. 3-9), `chains` one task on its own, `wholes` all tasks together and brute force.
"""

from reference.document import DROPPED, within
from reference.wholes import Reference

__all__ = ["DROPPED", "Reference", "within"]
