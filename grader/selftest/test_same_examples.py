"""A property is tried on the same examples whatever else is imported: in a student's pytest as in a grade."""

from __future__ import annotations

import subprocess
import sys

from grader.kit.paths import KIT

SCRIPT = """
import sys
from hypothesis import Phase, given, settings, strategies

sys.path.insert(0, sys.argv[1])
if "with numbers" in sys.argv:
    import numbers_of_somebody
if "alike" in sys.argv:
    from grader.examination.pytest_plugin import draw_alike_everywhere

    draw_alike_everywhere()
drawn = []

@settings(derandomize=True, database=None, max_examples=200, phases=[Phase.generate])
@given(strategies.integers())
def see(number):
    drawn.append(number)

see()
print(drawn)
"""


def drawn(folder, *words: str) -> str:
    command = [sys.executable, "-c", SCRIPT, str(folder), *words]
    return subprocess.run(command, cwd=KIT, capture_output=True, text=True, check=True).stdout


def test_numbers_in_code_that_is_imported_are_not_drawn(tmp_path):
    numbers = [314159 + 1001 * i for i in range(300)]
    (tmp_path / "numbers_of_somebody.py").write_text(f"NUMBERS = {numbers}\n")
    assert drawn(tmp_path, "alike") == drawn(tmp_path, "alike", "with numbers")
