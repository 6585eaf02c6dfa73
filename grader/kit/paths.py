"""Where the kit and its parts lie. Nothing else works this out for itself."""

from __future__ import annotations

from pathlib import Path

KIT = Path(__file__).resolve().parents[2]
"""The root of the checkout: pyproject.toml, adapters.py, tests/ and grader/."""

TESTS = KIT / "tests"
FIXTURES = TESTS / "fixtures"
REFERENCE = KIT / "grader" / "reference"
"""The reference solution; a student's copy has none."""

WORKER = KIT / "grader" / "worker"
"""The package that runs beside a submission, behind the wall."""
