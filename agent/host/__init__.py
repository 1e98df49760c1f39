"""The machine that the agent runs on: clocks, processes, files on tmpfs, logs, systemd, the watchdog device."""
