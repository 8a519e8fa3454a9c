"""Language models, counted from their configurations: parameters, work, key-value cache.

>>> from mecopt.models import language
>>> llama = language.model("llama-3-8b")
>>> llama.configuration.params
8030261248
>>> entry = language.document(llama, prefill=512, decode=200)  # for the `models` of an instance file
>>> [phase["name"] for phase in entry["phases"]], entry["blocks"][1]["state_bytes"]
(['prefill', 'decode'], 2916352.0)
"""

from __future__ import annotations

from mecopt.models.language.configuration import Configuration
from mecopt.models.language.known import LanguageModel, model, names, read
from mecopt.models.language.model_entry import document
from mecopt.models.language.pass_costs import BlockCount, PassCounts, count, phases

__all__ = [
    "BlockCount",
    "Configuration",
    "LanguageModel",
    "PassCounts",
    "count",
    "document",
    "model",
    "names",
    "phases",
    "read",
]
