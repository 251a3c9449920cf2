"""The HTML document: style, scripts and data in one file, safe against whatever the data says.

Reads the package's assets; returns text. Used by page/write.py. Data stands in script elements of
type application/json, escaped so that no text of a corpus can end one; the page's own script puts
it into text nodes. A content security policy admits exactly the scripts that are part of the page,
by their digests, and no address to load anything from.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from typing import Any

from meld_lightning.page.bundle import STYLES, VENDORED, asset, modules
from meld_lightning.storage.fingerprint import bytes_digest

ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def json_block(name: str, value: Any) -> str:
    """A script element that holds `value` as JSON; its id is data-NAME."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f'<script type="application/json" id="data-{name}">{text.translate(ESCAPES)}</script>'


def document(title: str, parts: Mapping[str, Any], style: str = "", connect: str = "'none'") -> str:
    """The whole page.

    title: the study's title.
    parts: name -> JSON value, which the script reads as `data(name)`.
    style: CSS rules that follow those of the assets.
    connect: the addresses that the script may connect to (the policy's connect-src).
    """
    scripts = [asset(f"vendor/{name}") for name in VENDORED] + [modules()]
    styles = "\n".join([*(asset(f"style/{name}") for name in STYLES), style])
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_digest, scripts))}",
            "style-src 'unsafe-inline'",  # Plot writes its figures' style into them
            "img-src data: blob:",
            "media-src data: blob:",
            f"connect-src {connect}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    *vendored, own = scripts
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{html.escape(title)}</title>",
            f"<style>\n{styles}</style>",
            "</head>",
            "<body>",
            '<header class="top">',
            f"<h1>{html.escape(title)}</h1>",
            '<nav aria-label="Sections"></nav>',
            "</header>",
            '<main id="main" tabindex="-1">',
            "<noscript><p>This page needs JavaScript. The same tables are in the README.md beside"
            " the study's runs.</p></noscript>",
            "</main>",
            *(json_block(name, value) for name, value in parts.items()),
            *(f"<script>{text}</script>" for text in vendored),
            f'<script type="module">{own}</script>',
            "</body>",
            "</html>\n",
        ]
    )


def _digest(script: str) -> str:
    sha256 = bytes.fromhex(bytes_digest([script.encode()]))
    digest = base64.b64encode(sha256).decode()
    return f"'sha256-{digest}'"
