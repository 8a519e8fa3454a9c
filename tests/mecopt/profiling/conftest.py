"""A model that was imported, and profiles of it that were made up."""

import pytest

from mecopt.importing import model_document as models
from mecopt.profiling import profile_document


def profile_of(model, hardware, seconds=None, kind="measured", starts=None):
    """Return a made-up profile: the given seconds of the blocks, or 1 ms each."""
    blocks = [block.name for block in model.model.blocks]
    seconds = seconds or [1e-3] * len(blocks)
    starts = starts or [0.0] * len(blocks)
    return profile_document.ProfileDoc.model_validate(
        {
            "format": profile_document.FORM,
            "kind": kind,
            "hardware": hardware,
            "date": "2026-01-01T00:00:00+00:00",
            "mecopt_version": "0",
            "model": {
                "name": model.model.name,
                "blocks": blocks,
                "sha256": model.sha256,
                "source_sha256": None,
                "dims": {},
            },
            "runtime": {
                "name": "onnxruntime",
                "version": "1",
                "threads": 1,
                "pinned_to": None,
                "idle_ms": 0.0,
                "repeat": 2,
                "clock": "cpu",
            },
            "machine": {
                "cpu_model": "made up",
                "cores": 1,
                "memory_bytes": 1.0,
                "platform": "",
                "python": "",
                "versions": {},
                "governor": None,
                "load_before": None,
                "load_after": None,
            },
            "blocks": [
                {"name": name, "seconds": s, "start_seconds": start}
                for name, s, start in zip(blocks, seconds, starts, strict=True)
            ],
            "whole": None,
            "fit": None,
            "steadiness": None,
            "stretches": [],
            "constants": None,
            "notes": [],
        }
    )


def model_of(name="net", blocks=3, bits=1e6):
    """Return a made-up model without a graph."""
    chain = [{"name": f"b{m}", "cycles": 1e6, "input_bits": bits} for m in range(blocks)]
    return models.from_dict(
        {
            "format": "mecopt-model/1",
            "model": {"name": name, "output_bits": 320, "blocks": chain},
            "source": {"kind": "onnx", "file": f"{name}.onnx", "sha256": "0" * 64},
        }
    )


@pytest.fixture(name="profile_of")
def profile_fixture():
    return profile_of


@pytest.fixture(name="model_of")
def model_fixture():
    return model_of
