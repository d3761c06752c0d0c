"""Where the operator's page may be, and who may open it."""

import socket
import sys

import pytest

from robot_rlaas.bundle import load_bundle
from robot_rlaas.cell.errors import InputError
from robot_rlaas.deploy.plan import plan
from robot_rlaas.deploy.ui import VARIABLE, Ui, token_here, ui_at


def free_port() -> int:
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        return there.getsockname()[1]


def test_on_loopback_there_is_no_token_and_elsewhere_there_is(monkeypatch):
    pytest.importorskip("viser")
    port = free_port()
    assert ui_at("127.0.0.1", port).address == f"http://127.0.0.1:{port}/"
    first, second = (ui_at("0.0.0.0", port) for _ in range(2))
    assert len(first.token) >= 32
    assert first.token != second.token
    assert first.address == f"http://{socket.gethostname()}:{port}/?token={first.token}"
    monkeypatch.setenv(VARIABLE, first.address)
    assert token_here() == first.token


def test_a_port_in_use_and_a_host_of_nobody_are_refused():
    pytest.importorskip("viser")
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        there.listen()
        with pytest.raises(InputError, match="--ui-port"):
            ui_at("127.0.0.1", there.getsockname()[1])
    with pytest.raises(InputError, match=r"192\.0\.2\.1"):
        ui_at("192.0.2.1", free_port())
    with pytest.raises(InputError, match="70000"):
        ui_at("127.0.0.1", 70000)


def test_without_viser_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "viser", raising=False)
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(InputError, match=r"robot_rlaas\[view\]"):
        ui_at("127.0.0.1", free_port())


def test_the_plan_has_the_page_before_the_conductor_and_its_token_in_no_file(bundle, trust, tmp_path):
    given = {"attempts": 3, "arm": "virtual", "plant": "ur5e_worn", "seed": 1, "domain_id": 62}
    ui = Ui("0.0.0.0", 8090, "secret-token")
    processes = plan(load_bundle(bundle, trust), tmp_path, ui=ui, **given)
    assert [process.name for process in processes][-2:] == ["operator", "conductor"]
    for process in processes:
        assert "secret-token" not in " ".join(process.argv(tmp_path))
        assert (VARIABLE in process.environment) == (process.name in ("operator", "conductor"))
    assert not any("secret-token" in file.read_text() for file in (tmp_path / "params").iterdir())
    assert processes[-1].params["attended"]
    assert not plan(load_bundle(bundle, trust), tmp_path, **given)[-1].params["attended"]
