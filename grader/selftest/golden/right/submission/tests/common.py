from pathlib import Path

FIXTURES_PATH = Path(__file__).parent / "fixtures"
