"""The application that the demo's page is served by: for this machine alone, under a content
security policy of no other host and no script but those of the page as served.

Reads responses, writes headers. Used by page.py. Gradio's page asks other hosts for fonts and
scripts, which the policy makes the browser refuse.
"""

import base64
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from meld_lightning.inference.demo.library import HOST
from meld_lightning.storage.fingerprint import bytes_digest

if TYPE_CHECKING:
    from starlette.requests import Request

INLINE = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
ENCODING = b"accept-encoding"
HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def guarded_app() -> Any:
    """A FastAPI application without routes that answers to this machine's own names alone, and
    gives every response its policy."""
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.middleware("http")(_with_policy)
    # a name that leads to 127.0.0.1 may be another site's (DNS rebinding)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return app


async def _with_policy(request: "Request", following: Callable[[Any], Awaitable[Any]]) -> Any:
    """The response to `request` with its policy."""
    # the page's scripts are read below, so it must not come compressed
    request.scope["headers"] = [one for one in request.scope["headers"] if one[0] != ENCODING]
    response = await following(request)
    scripts: list[bytes] = []
    if response.headers.get("content-type", "").startswith("text/html"):
        page = b"".join([part async for part in response.body_iterator])
        response.body_iterator = _once(page)
        scripts = INLINE.findall(page)
    response.headers.update({**HEADERS, "Content-Security-Policy": policy(scripts)})
    return response


def policy(scripts: list[bytes]) -> str:
    """The policy of a page with these inline scripts."""
    # Gradio's video component compiles WebAssembly, which this allows without allowing eval
    allowed = " ".join(
        ["'self'", "blob:", "'wasm-unsafe-eval'", *dict.fromkeys(map(_source, scripts))]
    )
    return "; ".join(
        [
            "default-src 'self' data: blob:",
            f"script-src {allowed}",
            "style-src 'self' 'unsafe-inline'",  # Gradio's components style themselves
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


def _source(script: bytes) -> str:
    # a browser hashes the script with its line ends normalised
    text = script.replace(b"\r\n", b"\n")
    digest = base64.b64encode(bytes.fromhex(bytes_digest([text]))).decode()
    return f"'sha256-{digest}'"


async def _once(content: bytes) -> Any:
    yield content
