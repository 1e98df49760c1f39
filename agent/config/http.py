"""[http]: where the agent answers, and to whom."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

from agent.config.base import AbsolutePath, Optional, ReadableFile, SecretFile
from agent.config.section import Section, relation
from agent.config.setting import Field, SecretStr


def _listen(text: str) -> str:
    if text and not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}", text):
        raise ValueError(f"{text!r} is no address: write HOST:PORT, e.g. 127.0.0.1:9877, or an empty text")
    if text and int(text.rsplit(":", 1)[1]) > 65535:
        raise ValueError(f"{text!r} has no such port: the highest is 65535")
    return text


def checked_token(text: str) -> str:
    """Return a token. ValueError when it is easy to guess, or cannot stand in a header."""
    if not re.fullmatch(r"[\x21-\x7e]{16,200}", text):
        raise ValueError("it is too short or has spaces: write 16 to 200 visible characters")
    return text


def _token(found: SecretStr) -> SecretStr:
    checked_token(found.get_secret_value())
    return found


class HttpSection(Section):
    """[http]: metrics, probes and status; nothing there changes state."""

    listen: Annotated[str, _listen] = Field(
        default="127.0.0.1:9877", description="HOST:PORT to listen on, an empty text to listen nowhere"
    )
    token: Optional[Annotated[SecretStr, _token]] = Field(
        default=None, description="what a reader of metrics and status has to show; better in token_file"
    )
    token_file: Optional[AbsolutePath] = Field(default=None, description="file that holds the token")
    cert_file: Optional[ReadableFile] = Field(default=None, description="certificate for https (PEM)")
    key_file: Optional[SecretFile] = Field(default=None, description="its key (PEM)")
    public: bool = Field(default=False, description="true: others than this host may read without token and TLS")

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, None for off."""
        parts = urlsplit(f"//{self.listen}")
        return (parts.hostname, parts.port) if parts.hostname and parts.port is not None else None

    @relation
    def _fits(self) -> Iterator[str]:
        if bool(self.cert_file) != bool(self.key_file):
            yield "http.cert_file and http.key_file belong together: set both or neither"
        guarded = self.token or self.token_file or self.cert_file or self.public
        if self.address and not _is_loopback(self.address[0]) and not guarded:
            yield (
                f"http.listen: {self.listen} can be reached from elsewhere: set http.token_file, or http.cert_file and "
                "http.key_file, or http.public = true where something else keeps strangers out"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
