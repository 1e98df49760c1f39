"""The process that calls apprise once: reads one job as JSON from its standard input, and exits with the outcome."""

from __future__ import annotations

import json
import sys


def main() -> int:
    """Return 0 when it was delivered, 3 when apprise does not know the URL, else 1."""
    import apprise

    job = json.load(sys.stdin)
    service = apprise.Apprise()
    if not service.add(job["url"]):
        return 3
    sent = service.notify(title=job["title"], body=job["body"], notify_type=apprise.NotifyType(job["kind"]))
    return 0 if sent else 1


if __name__ == "__main__":
    sys.exit(main())
