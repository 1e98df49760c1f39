"""Rules, runbooks and dashboard, judged by Debian's promtool and Prometheus."""
