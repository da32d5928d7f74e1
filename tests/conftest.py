from __future__ import annotations

import pytest
from hypothesis import settings

from tests.certificates import Certificates, make

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("dcmnet", deadline=None)
settings.load_profile("dcmnet")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates and keys of every kind, made for this run."""
    return make(tmp_path_factory.mktemp("certificates"))
