"""pytest-benchmark is for this folder only: elsewhere it would cost a fifth of a second before the first test."""

pytest_plugins = ("pytest_benchmark.plugin",)
