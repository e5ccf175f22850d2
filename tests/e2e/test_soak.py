"""Twenty seconds of everything at once, in a plain room and one under TLS."""

import subprocess
from pathlib import Path

import pytest

from chatctl.server import MODES
from tests.rooms import environment

SOAK = Path(__file__).parents[2] / "scripts" / "soak"


@pytest.mark.timeout(150)
def test_soak() -> None:
    """Talkers and listeners lose nothing beside stallers, floods, resets and worse; each server stays as it was."""
    soaks = {
        mode: subprocess.Popen(
            [SOAK, "--seconds", "20", "--mode", mode],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )
        for mode in MODES
    }
    shown = {mode: soak.communicate(timeout=120)[0] for mode, soak in soaks.items()}
    for mode, soak in soaks.items():
        assert shown[mode].startswith(f"soak {mode} 20 s: PASS, "), shown[mode]
        assert soak.returncode == 0
