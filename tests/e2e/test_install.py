"""What comes before the first run: the extras, the checkout's own program, the shells' completion."""

import subprocess

import pytest

from chatctl.errors import installing
from tests.rooms import PATIENCE, environment


@pytest.mark.parametrize("extra", ["bench", "metrics", "plot"])
def test_what_to_type_for_an_extra(extra: str) -> None:
    """It is a command as it stands, and pip knows the extra: all of it is here already, so nothing is downloaded."""
    done = subprocess.run(
        ["sh", "-c", installing(extra)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_ROOT_USER_ACTION="ignore"),
    )
    assert (done.returncode, done.stderr) == (0, "")
