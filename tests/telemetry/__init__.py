"""Metrics, log lines and pages."""
