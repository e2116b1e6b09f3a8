"""Who may ask the app's server: its own page alone, not those of other sites that a browser on this machine shows."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[Any], Awaitable[None]]
_LOCAL = ("localhost", "127.0.0.1", "::1")
_SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """ASGI middleware that answers 403 to a request for another host, or from another site's page.

    host: the address that is listened on. A site whose name is made to lead to this machine ("DNS rebinding") still
    asks for its own name, which `Host` tells. A page of another site that posts here is named by `Origin`, which must
    be the same as `Host`, its port too. Any port is right otherwise, as ports may be forwarded.
    """

    def __init__(self, app: Callable[[_Scope, _Receive, _Send], Awaitable[None]], host: str) -> None:
        self._app = app
        self._names = {*_LOCAL, host.lower()}
        self._is_open = not _is_loopback(host)
        if self._is_open:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Pass on what is allowed."""
        if scope["type"] in ("http", "websocket") and not self._allows(scope):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"This page is for its own host alone.\n"})
            return
        await self._app(scope, receive, send)

    def _allows(self, scope: _Scope) -> bool:
        headers = [(name.lower(), value.decode("latin-1").lower()) for name, value in scope["headers"]]
        hosts = [value for name, value in headers if name == b"host"]
        origins = [value for name, value in headers if name == b"origin"]
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return False
        if scope["type"] == "http" and scope["method"] in _SAFE:
            return True
        return all(origin in (f"http://{hosts[0]}", f"https://{hosts[0]}") for origin in origins)

    def _is_own(self, host: str) -> bool:
        """Whether a `Host` is this server: a name of its own or, where others may reach it, any address in numbers."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._names or (self._is_open and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
