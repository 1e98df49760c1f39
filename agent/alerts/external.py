"""Everything that apprise knows, in a process of its own for each try: apprise has no total deadline, a process has.

The URL goes to it over its standard input: never in its arguments, which everybody on the host can read.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time

from agent.alerts.text import Words
from agent.core.alerts.notice import Notice
from agent.errors import ConfigError
from agent.net.proxy import ENVIRONMENT
from agent.ports import Delivery

CHILD = "agent.alerts.apprise_child"
KINDS = {"critical": "failure", "warning": "warning", "info": "info"}
REFUSED = 3
"""Exit code of the child when apprise does not know the URL."""


class AppriseSink:
    """Hands each notice to apprise. ConfigError when apprise is not installed."""

    def __init__(self, name: str, url: str, words: Words, proxy: str = "") -> None:
        if importlib.util.find_spec("apprise") is None:
            raise ConfigError([f"alerts {name}: type apprise needs the extra: pip install 'nodeos-failover[apprise]'"])
        self.name = name
        self._url = url
        self._words = words
        self._proxy = proxy

    def send(self, notice: Notice, timeout_s: float) -> Delivery:
        """Try once, within `timeout_s` seconds in all, the start of the process included. Never raises."""
        kind = "success" if notice.resolved else KINDS.get(notice.severity, "failure")
        fields = "\n".join(f"{name}: {value}" for name, value in self._words.fields(notice).items())
        job = {"url": self._url, "title": self._words.line(notice), "body": fields, "kind": kind}
        end = time.monotonic() + timeout_s
        try:
            done = subprocess.run(
                [sys.executable, "-m", CHILD],
                input=json.dumps(job).encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # it may repeat the URL
                timeout=max(0.05, end - time.monotonic()),
                check=False,
                start_new_session=True,
                env=self._environment(),
            )
        except subprocess.TimeoutExpired:
            return Delivery(ok=False, retry=True, detail=f"no complete answer within {timeout_s:g} s")
        except OSError as error:
            return Delivery(ok=False, retry=True, detail=f"a process for apprise cannot be started: {error.strerror}")
        if done.returncode == 0:
            return Delivery(ok=True)
        if done.returncode == REFUSED:
            return Delivery(ok=False, detail="apprise does not know such a URL")
        return Delivery(ok=False, retry=True, detail="apprise did not deliver it")

    def _environment(self) -> dict[str, str]:
        """Return the environment of the child: with the proxy that was named, and no other one."""
        if self._proxy == ENVIRONMENT:
            return dict(os.environ)
        kept = {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}
        return kept | (dict.fromkeys(("http_proxy", "https_proxy"), self._proxy) if self._proxy else {})
