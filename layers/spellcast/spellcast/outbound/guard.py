"""The guard of outbound calls to addresses that users supply: https, to the public internet, nowhere else.

A host is resolved once per request, every address it has is checked, and the connection goes to one of those.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from spellcast.domain.errors import AddressRefused

Resolver = Callable[..., Sequence[tuple[Any, ...]]]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

ALLOWED_PORTS = frozenset({443, 8443})
MAX_URL_CHARACTERS = 2048
# How many of a host's addresses are tried before it counts as unreachable.
MAX_ADDRESSES_TRIED = 3
_LOCAL_SUFFIXES = ("localhost", "local", "localdomain", "internal", "intranet", "lan", "home.arpa", "onion")
# What `is_global` lets pass in one Python version or another, and cloud addresses that look public.
_REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def check_url(url: str, allow_loopback: bool) -> str | None:
    """Why the address is refused, or None.

    Nothing is resolved here: a name that leads to a private address is refused when it is called.
    """
    if len(url) > MAX_URL_CHARACTERS:
        return f"the URL is longer than {MAX_URL_CHARACTERS} characters"
    if any(character.isspace() or not character.isprintable() for character in url) or "\\" in url:
        return "the URL has characters that a URL cannot have"
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, TypeError):
        return "the URL cannot be read"
    return _check(parsed, allow_loopback)


def guarded_client(
    allow_loopback: bool,
    resolver: Resolver = socket.getaddrinfo,
    transport: httpx.BaseTransport | None = None,
) -> httpx.Client:
    """A client that raises AddressRefused instead of connecting where it must not, redirected or not.

    All accounts share it, so it keeps no cookie; it reads no proxy or credential from the environment.
    """
    return httpx.Client(
        transport=GuardedTransport(allow_loopback, resolver, transport),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"User-Agent": "spellcast"},
        timeout=httpx.Timeout(10.0, connect=5.0),
        follow_redirects=False,
        trust_env=False,
    )


@cache
def shared_guarded_client(allow_loopback: bool) -> httpx.Client:
    """The container's one guarded client: each would read the certificates anew."""
    return guarded_client(allow_loopback)


class GuardedTransport(httpx.BaseTransport):
    """Checks every request's address and pins the connection to what was checked."""

    def __init__(
        self,
        allow_loopback: bool,
        resolver: Resolver = socket.getaddrinfo,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._resolver = resolver
        # No connection is kept: one that was verified for a name must not serve another at the same address.
        self._transport = transport or httpx.HTTPTransport(
            trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises AddressRefused, or httpx's errors."""
        reason = _check(request.url, self._allow_loopback)
        if reason is not None:
            raise AddressRefused(f"The address is refused: {reason}")
        addresses = self._resolve(request)
        for number, address in enumerate(addresses, 1):
            try:
                return self._transport.handle_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # Nothing was sent, so the next address may be tried.
                if number == len(addresses):
                    raise
        raise AddressRefused("The address is refused: its host has no address")

    def close(self) -> None:
        """Closes what is beneath."""
        self._transport.close()

    def _resolve(self, request: httpx.Request) -> list[_Address]:
        host = _host(request.url)
        try:
            answers = self._resolver(host, request.url.port or _default_port(request.url), type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise httpx.ConnectError("The name could not be resolved at the moment", request=request) from error
            raise AddressRefused("The address is refused: its host does not resolve") from error
        except (UnicodeError, OSError) as error:
            raise AddressRefused("The address is refused: its host does not resolve") from error
        addresses = list(dict.fromkeys(ipaddress.ip_address(answer[4][0]) for answer in answers))
        loopback_expected = self._allow_loopback and is_loopback(host)
        for address in addresses:
            # One bad address is enough: the next answer of the same server could begin with it.
            if not (is_loopback(str(address)) if loopback_expected else _is_public(address)):
                raise AddressRefused("The address is refused: its host is not on the public internet")
        return addresses[:MAX_ADDRESSES_TRIED]


def is_loopback(host: str) -> bool:
    """Whether a host names this machine in one of the plain ways: `localhost`, 127.x.x.x, `::1`."""
    name = host.lower().strip("[]").removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    # `::ffff:127.0.0.1` counts in some Python versions; it is no plain way to say it.
    return str(address) == "::1" if address.version == 6 else address.is_loopback


def _check(url: httpx.URL, allow_loopback: bool) -> str | None:
    host = _host(url)
    if not host:
        return "it has no host"
    if not all(host.removesuffix(".").split(".")) or not _is_readable(url):
        return "its host is not a name"
    if url.userinfo:
        return "it carries credentials"
    if allow_loopback and is_loopback(host):
        return None if url.scheme in ("http", "https") else "it is neither http nor https"
    if url.scheme != "https":
        return "it is not https"
    if url.port is not None and url.port not in ALLOWED_PORTS:
        return "its port is neither 443 nor 8443"
    return _check_host(host)


def _host(url: httpx.URL) -> str:
    """As it is sent: international names by their ASCII form, of which no two readers have a different idea."""
    return url.raw_host.decode("ascii")


def _is_readable(url: httpx.URL) -> bool:
    """httpx raises wherever it reads a host that claims to be an ASCII form and is none."""
    try:
        return bool(url.host)
    except UnicodeError:
        return False


def _check_host(host: str) -> str | None:
    name = host.lower().removesuffix(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        return None if _is_public(address) else "its host is not on the public internet"
    if _is_unusual_address(name):
        return "its host is a number in an unusual form"
    if "." not in name or name.endswith(tuple(f".{suffix}" for suffix in _LOCAL_SUFFIXES)):
        return "its host is a local name"
    return None


def _is_unusual_address(name: str) -> bool:
    """`127.1`, `0x7f000001`, `2130706433`, `0177.0.0.1`: forms that a resolver takes for an address."""
    try:
        socket.inet_aton(name)
    except (OSError, UnicodeError):
        return ":" in name or "%" in name
    return True


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _GLOBAL_UNICAST:
            return False
    if any(address.version == network.version and address in network for network in _REFUSED_NETWORKS):
        return False
    return address.is_global and not address.is_multicast


def _pinned(request: httpx.Request, address: _Address) -> httpx.Request:
    """The same request to the address itself; its name stays in Host, and the certificate must show it."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": _host(request.url)},
    )


def _default_port(url: httpx.URL) -> int:
    return 443 if url.scheme == "https" else 80
