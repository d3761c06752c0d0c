"""Where the operator's page of a deployment is, and who may open it."""

import os
import secrets
import socket
from importlib.util import find_spec
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from robot_rlaas.cell.errors import InputError

LOOPBACK, PORT = "127.0.0.1", 8090
VARIABLE = "RLAAS_PAGE"  # of the environment: nothing of it stands in a file or on a command line
ANY = ("0.0.0.0", "::")


class Ui(NamedTuple):
    """A page's address.

    Attributes:
        host, port: where it listens.
        token: a request without it is refused; empty on the loopback address.
    """

    host: str
    port: int
    token: str = ""

    @property
    def address(self) -> str:
        """What to open in a browser, with the token."""
        host = socket.gethostname() if self.host in ANY else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")


def ui_at(host: str = LOOPBACK, port: int = PORT) -> Ui:
    """A page there, with a token of its own if it is not for this machine alone.

    Raises:
        InputError: if the page's package is not installed, or nobody can listen there.
    """
    missing = [name for name in ("viser", "websockets") if find_spec(name) is None]
    if missing:
        raise InputError(f"the operator's page needs {', '.join(missing)}", fix="pip install 'robot_rlaas[view]'")
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as there:
            there.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            there.bind((host, port))
    except (OSError, OverflowError) as error:
        text = f"no page can be at {host}, port {port}: {error}"
        raise InputError(text, fix="choose another --ui-port or --ui-host") from error
    return Ui(host, port, "" if _is_loopback(host) else secrets.token_urlsafe(24))


def token_here() -> str:
    """The token that this process was started with."""
    return parse_qs(urlsplit(os.environ[VARIABLE]).query).get("token", [""])[0]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
