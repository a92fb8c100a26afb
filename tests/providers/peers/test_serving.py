from __future__ import annotations

import httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.providers.serving import serving


def test_an_app_is_served_for_as_long_as_it_is_needed() -> None:
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("here"))])
    with serving(app) as url:
        assert httpx.get(url).text == "here"
