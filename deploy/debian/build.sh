#!/bin/sh
# A .deb of the agent with all that it needs but Python itself: build.sh WHEEL REQUIREMENTS OUTPUT_DIR
#
# It holds a virtual environment in /opt/nodeos-failover, the command in /usr/bin, the systemd units, and nothing that is
# the administrator's. REQUIREMENTS are pinned and hashed (`uv export`). Python's minor version is the one that builds:
# Debian 12 has 3.11. Needs python3-venv, pip 22.3 or later, dpkg-deb.
set -eu
[ $# -eq 3 ] || {
    echo "usage: build.sh WHEEL REQUIREMENTS OUTPUT_DIR" >&2
    exit 2
}
wheel=$1
requirements=$2
output=$3
here=$(cd "$(dirname "$0")" && pwd)
python=$(command -v python3)
minor=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
version=$(basename "$wheel" | cut -d- -f2)
architecture=$(dpkg --print-architecture)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
umask 022
home=$stage/opt/nodeos-failover

mkdir -p "$stage/usr/bin" "$stage/DEBIAN" "$stage/usr/share/doc/nodeos-failover"
"$python" -m venv --without-pip "$home"
ln -sf "/usr/bin/python$minor" "$home/bin/python3"
site=$home/lib/python$minor/site-packages
# --target, and not the environment's own pip: what is installed must not name the directory that it was built in.
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target "$site" -r "$requirements"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$site" --upgrade "$wheel"
rm -rf "${site:?}/bin" "$home/bin"/activate* "$home/bin"/Activate* "$home/include"
sed -i -e "s|^home = .*|home = /usr/bin|" -e '/^command = /d' -e '/^executable = /d' "$home/pyvenv.cfg"
find "$home" -name __pycache__ -type d -prune -exec rm -rf {} +
"$python" -m compileall -q -s "$stage" -p / "$site" # compiled here: the files are root's on the host

cat >"$stage/usr/bin/nodeos-failover" <<LAUNCHER
#!/bin/sh
exec /opt/nodeos-failover/bin/python3 -P -m agent "\$@"
LAUNCHER
chmod 755 "$stage/usr/bin/nodeos-failover"
cp "$here/../../LICENSE" "$here/../../CHANGELOG.md" "$stage/usr/share/doc/nodeos-failover/"
if [ -d "$here/../systemd" ]; then
    mkdir -p "$stage/lib/systemd/system" "$stage/usr/lib/sysusers.d"
    find "$here/../systemd" -name '*.service' -exec cp {} "$stage/lib/systemd/system/" \;
    find "$here/../systemd" -path '*sysusers*' -name '*.conf' -exec cp {} "$stage/usr/lib/sysusers.d/nodeos-failover.conf" \;
fi
cat >"$stage/DEBIAN/control" <<CONTROL
Package: nodeos-failover
Version: $version
Architecture: $architecture
Maintainer: nodeos-failover
Depends: python$minor
Section: net
Priority: optional
Description: High availability for EOS/Antelope block producers
 Exactly one nodeos of a block producer signs; when it fails, a healthy one signs the next block.
CONTROL
mkdir -p "$output"
dpkg-deb --root-owner-group --build "$stage" "$output/nodeos-failover_${version}_$architecture.deb"
