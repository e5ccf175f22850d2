"""What tests of every kind share."""

import pytest

from tests.rooms import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for all tests of a run."""
    return Certificates(tmp_path_factory.mktemp("certificates"))
