from __future__ import annotations

import pytest

from tests.certificates import Certificates, make


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates and keys of every kind, made for this run."""
    return make(tmp_path_factory.mktemp("certificates"))
