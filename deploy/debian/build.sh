#!/bin/sh
# A .deb of the agent with all that it needs but Python itself, by debhelper: build.sh WHEEL REQUIREMENTS MAN_DIR OUTPUT_DIR
#
# It holds a virtual environment in /opt/nodeos-failover, the command in /usr/bin, the units, users and a configuration to
# edit. REQUIREMENTS are pinned and hashed (`uv export`). Python's minor version is the one that builds: Debian 12 has
# 3.11. Needs debhelper, dpkg-dev, python3-venv and pip 22.3 or later.
set -eu
[ $# -eq 4 ] || {
    echo "usage: build.sh WHEEL REQUIREMENTS MAN_DIR OUTPUT_DIR" >&2
    exit 2
}
command -v dh >/dev/null || {
    echo "build.sh: debhelper is missing: apt-get install debhelper" >&2
    exit 1
}
mkdir -p "$4"
output=$(cd "$4" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
version=$(basename "$1" | cut -d- -f2 | sed "s/\.dev/~dev/") # which Debian sorts before the release
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
umask 022
source=$stage/nodeos-failover

mkdir -p "$source/launcher" "$source/config"
cp -r "$here" "$source/debian"
cp "$1" "$source/"
cp "$2" "$source/requirements.txt"
cp -r "$3" "$source/man"
cp -r "$here/../systemd" "$source/systemd"
cp "$here/../systemd/config.example.toml" "$source/config/config.toml"
cp "$here/../systemd/sysusers.d/nodeos-failover.conf" "$source/debian/nodeos-failover.sysusers"
cp "$here/../../CHANGELOG.md" "$source/debian/NEWS.md"
printf '%s\n' '#!/opt/nodeos-failover/bin/python3 -P' 'import sys' '' 'from agent.main import main' '' 'sys.exit(main())' \
    >"$source/launcher/nodeos-failover"
chmod 755 "$source/launcher/nodeos-failover"
cat >"$source/debian/changelog" <<CHANGELOG
nodeos-failover ($version) unstable; urgency=medium

  * See /usr/share/doc/nodeos-failover/NEWS.md.gz.

 -- nodeos-failover maintainers <maintainers@nodeos-failover.invalid>  $(date -R)
CHANGELOG
(cd "$source" && dpkg-buildpackage --build=binary --no-sign --no-pre-clean >"$stage/log" 2>&1) || {
    cat "$stage/log" >&2
    exit 1
}
cp "$stage"/nodeos-failover_*.deb "$output/"
