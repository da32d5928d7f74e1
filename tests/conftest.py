from __future__ import annotations

import signal

import pytest
from hypothesis import settings

from tests.certificates import Certificates, make

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("dcmnet", deadline=None)
settings.load_profile("dcmnet")

# A shell lets its background jobs ignore Ctrl-C, and so would these tests and what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates and keys of every kind, made for this run."""
    return make(tmp_path_factory.mktemp("certificates"))
