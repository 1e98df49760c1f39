"""[[alerts]]: one channel for alerts. What a type needs, and what it cannot use, is told field by field."""

from __future__ import annotations

from collections.abc import Iterator
from string import Template
from typing import Annotated, Literal

from agent.config.base import AbsolutePath, Optional, ReadableFile, Seconds, split_url
from agent.config.section import Field, SecretStr, Section, relation
from agent.core.alerts.notice import WORDS
from agent.net.proxy import ENVIRONMENT

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
"""Where PagerDuty takes events, service region US; the other is events.eu.pagerduty.com."""
SIGNED = ("webhook", "pagerduty")
"""Types that can use a secret."""


def _template(text: str) -> str:
    form = Template(text)
    if not form.is_valid():
        raise ValueError("has a $ that names nothing: write $$ for the sign itself")
    if unknown := sorted(set(form.get_identifiers()) - set(WORDS)):
        raise ValueError(f"knows no ${', $'.join(unknown)}: there are ${', $'.join(WORDS)}")
    return text


def _proxy(found: SecretStr) -> SecretStr:
    if found.get_secret_value() not in ("", ENVIRONMENT):
        split_url(found.get_secret_value(), ("http",), secret=True)
    return found


class AlertChannel(Section):
    """[[alerts]]: one channel. Its URL is a secret."""

    name: str = Field(
        pattern="^[a-z0-9][a-z0-9_-]{0,31}$",
        form="1 to 32 of a-z, 0-9, _ and hyphen, a letter or digit first",
        description="name of the channel, for metrics and logs",
        examples=["ops"],
    )
    type: Literal["webhook", "slack", "pagerduty", "alertmanager", "heartbeat", "apprise"] = Field(
        description="what stands at the other end", examples=["slack"]
    )
    url: SecretStr = Field(
        default=SecretStr(""),
        description="where to post; better in url_file; pagerduty has a default",
        examples=["https://hooks.example.org/T0"],
    )
    url_file: Optional[AbsolutePath] = Field(default=None, description="file that holds the URL")
    secret: SecretStr = Field(
        default=SecretStr(""), description="routing key of pagerduty, signing key of a webhook; better in secret_file"
    )
    secret_file: Optional[AbsolutePath] = Field(default=None, description="file that holds the secret")
    ca_file: Optional[ReadableFile] = Field(
        default=None, description="certificates that sign the channel's own (PEM); default: the host's"
    )
    proxy: Annotated[SecretStr, _proxy] = Field(
        default=SecretStr(""),
        description='HTTP proxy, http://[USER:PASSWORD@]HOST:PORT, or "environment" (HTTPS_PROXY, NO_PROXY …)',
    )
    min_severity: Literal["info", "warning", "critical"] = Field(
        default="warning", description="the least that is sent"
    )
    timeout: Seconds = Field(default=5.0, ge=0.1, le=60, description="seconds for one try")
    interval: Seconds = Field(
        default=60.0,
        ge=1,
        description="seconds between two pings of a heartbeat, or until alertmanager gets again what is open",
    )
    template: Annotated[str, _template] = Field(
        default="", description="the line of an alert, with $summary and the other words below"
    )

    @relation
    def _has_url(self) -> Iterator[str]:
        text = self.url.get_secret_value()
        if not text and self.url_file is None and self.type != "pagerduty":
            yield "has no URL: set url_file (or url)"
        if text and self.type == "apprise":
            if "://" not in text:
                yield "the URL is none of apprise: write SERVICE://…, as its documentation shows"
        elif text:
            split_url(text, ("http", "https"), secret=True)

    @relation
    def _has_secret(self) -> Iterator[str]:
        given = bool(self.secret.get_secret_value()) or self.secret_file is not None
        if given and self.type not in SIGNED:
            yield f"a channel of type {self.type} uses no secret: remove secret and secret_file"
        if not given and self.type == "pagerduty":
            yield "has no routing key: set secret_file (or secret)"
        if self.ca_file and self.type == "apprise":
            yield "apprise takes no ca_file: remove it"
