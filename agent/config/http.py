"""[http]: where the agent answers, and to whom."""

from __future__ import annotations

import ipaddress
import re
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from agent.config.base import AbsolutePath, Flag, Optional, Problems, ReadableFile, SecretFile, Section


class HttpSection(Section):
    """[http]: metrics, probes and status; nothing there changes state."""

    listen: str = Field(default="127.0.0.1:9877", description="HOST:PORT to listen on, an empty text to listen nowhere")
    token: Optional[SecretStr] = Field(
        default=None, description="what a reader of metrics and status has to show; better in token_file"
    )
    token_file: Optional[AbsolutePath] = Field(default=None, description="file that holds the token")
    cert_file: Optional[ReadableFile] = Field(default=None, description="certificate for https (PEM)")
    key_file: Optional[SecretFile] = Field(default=None, description="its key (PEM)")
    public: Flag = Field(default=False, description="true: others than this host may read without token and TLS")

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, None for off."""
        parts = urlsplit(f"//{self.listen}")
        return (parts.hostname, parts.port) if parts.hostname and parts.port is not None else None

    @field_validator("listen")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}", value):
            raise ValueError(f"{value!r} is no address: write HOST:PORT, e.g. 127.0.0.1:9877, or an empty text")
        if value and int(value.rsplit(":", 1)[1]) > 65535:
            raise ValueError(f"{value!r} has no such port: the highest is 65535")
        return value

    @field_validator("token")
    @classmethod
    def _is_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            cls.checked_token(value.get_secret_value())
        return value

    @staticmethod
    def checked_token(text: str) -> str:
        """Return a token. ValueError when it is easy to guess, or cannot stand in a header."""
        if not re.fullmatch(r"[\x21-\x7e]{16,200}", text):
            raise ValueError("it is too short or has spaces: write 16 to 200 visible characters")
        return text

    @model_validator(mode="after")
    def _fits(self) -> Self:
        faults = []
        if bool(self.cert_file) != bool(self.key_file):
            faults.append("http.cert_file and http.key_file belong together: set both or neither")
        guarded = self.token or self.token_file or self.cert_file or self.public
        if self.address and not _is_loopback(self.address[0]) and not guarded:
            faults.append(
                f"http.listen: {self.listen} can be reached from elsewhere: set http.token_file, or http.cert_file and "
                "http.key_file, or http.public = true where something else keeps strangers out"
            )
        if faults:
            raise Problems(faults)
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
