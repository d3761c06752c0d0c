"""One bundle, signed by somebody who is trusted."""

from pathlib import Path

import pytest
from handmade import bundle_in
from samples import signing_key

from robot_rlaas.bundle import Trust
from robot_rlaas.bundle.keys import PrivateKey


@pytest.fixture(scope="session")
def alice(tmp_path_factory) -> PrivateKey:
    return signing_key(tmp_path_factory.mktemp("keys"), "alice")


@pytest.fixture(scope="session")
def trust(alice) -> Trust:
    return Trust((alice.public,))


@pytest.fixture(scope="session")
def signed(alice, tmp_path_factory) -> Path:
    return bundle_in(tmp_path_factory.mktemp("signed"), alice)
