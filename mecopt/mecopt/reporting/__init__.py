"""`report`: a comparison as one self-contained page, tables for programs and LaTeX, and figures."""

from __future__ import annotations

from mecopt.reporting.build import Made, make_report

__all__ = ["Made", "make_report"]
