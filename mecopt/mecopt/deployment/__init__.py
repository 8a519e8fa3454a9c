"""Plans carried out: agents on every machine, parts of a model, and predicted beside measured."""

from __future__ import annotations

from mecopt.deployment.deploying import deploy
from mecopt.deployment.outcome import Deployment

__all__ = ["Deployment", "deploy"]
