"""Twenty seconds of everything at once, in a plain room and one under TLS."""

import subprocess
from pathlib import Path

import pytest

from tests.rooms import environment

SOAK = Path(__file__).parents[2] / "scripts" / "soak"


@pytest.mark.timeout(150)
def test_soak(mode: str) -> None:
    """Talkers and listeners lose nothing beside stallers, floods, resets and worse; the server stays as it was."""
    result = subprocess.run(
        [SOAK, "--seconds", "20", "--mode", mode], capture_output=True, text=True, timeout=120, env=environment()
    )
    assert result.stdout.startswith(f"soak {mode} 20 s: PASS, "), result.stdout + result.stderr
    assert result.returncode == 0
