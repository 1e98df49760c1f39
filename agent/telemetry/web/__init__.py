"""The status page: one HTML file with its style and script inside, and the policy that lets nothing else in.

It is the same for everybody and holds no data: its script reads `/status` and shows every text as text, so nothing that
somebody wrote into etcd is ever markup. Only the assets and their putting together live here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType


@cache
def page() -> tuple[bytes, Mapping[str, str]]:
    """Return the page, and the headers that go with it."""
    here = Path(__file__).parent
    html, style, script = ((here / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    whole = html.replace("/*style*/", style).replace("/*script*/", script)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash(style)}",
            f"script-src {_hash(script)}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return whole.encode(), MappingProxyType(headers)  # one for all requests


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
