#!/bin/sh
# Units, user and an example configuration for a nodeos-failover that is installed already (.deb, venv, pipx).
#
#   install.sh [--program PATH]      install, or bring up to date; what an administrator changed is left alone
#   install.sh --uninstall [--purge] stop and remove; with --purge the configuration, the host's id and the user too
#
# DESTDIR=/some/root works on another root. Running it twice is running it once.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR:-}
units=$root/etc/systemd/system
users=$root/etc/sysusers.d
settings=$root/etc/nodeos-failover
all=$(cd "$here" && echo nodeos-failover*.service)
program=
action=install
purge=no

fail() {
    echo "install.sh: $1" >&2
    exit "${2:-1}"
}

while [ $# -gt 0 ]; do
    case $1 in
    --program)
        [ $# -ge 2 ] || fail "--program needs a path" 2
        program=$2
        shift
        ;;
    --uninstall) action=uninstall ;;
    --purge) purge=yes ;;
    -h | --help)
        sed -n '2,7s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *) fail "unknown option $1; see --help" 2 ;;
    esac
    shift
done
[ "$purge" = no ] || [ "$action" = uninstall ] || fail "--purge goes with --uninstall" 2
[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || fail "run this as root, or with DESTDIR"

# systemd runs, and this is its host
lives() {
    [ -z "$root" ] && [ -d /run/systemd/system ]
}

# put FILE CONTENT_FILE MODE: replace FILE as a whole if it differs
put() {
    if [ -f "$1" ] && cmp -s "$1" "$2"; then
        chmod "$3" "$1"
        echo "unchanged $1"
    else
        install -D -m "$3" "$2" "$1.new"
        mv "$1.new" "$1"
        echo "installed $1"
    fi
}

install_all() {
    [ -n "$program" ] || program=$(command -v nodeos-failover) || fail "nodeos-failover is not on PATH: install it, or give --program"
    case $program in
    /*) ;;
    *) fail "--program $program: give the whole path" 2 ;;
    esac
    [ -x "$root$program" ] || [ -x "$program" ] || fail "$program cannot be executed"
    case $program in
    *[!A-Za-z0-9/._+-]*) fail "--program $program: a unit cannot name it; use letters, digits and / . _ + -" 2 ;;
    esac
    mkdir -p "$units" "$users" "$settings"
    stage=$(mktemp -d)
    trap 'rm -rf "$stage"' EXIT
    for unit in $all; do
        sed "s|/usr/bin/nodeos-failover|$program|g" "$here/$unit" >"$stage/$unit"
        put "$units/$unit" "$stage/$unit" 644
    done
    put "$users/nodeos-failover.conf" "$here/sysusers.d/nodeos-failover.conf" 644
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers --root="${root:-/}" nodeos-failover.conf
    else
        echo "no systemd-sysusers here: create the users and groups of sysusers.d/nodeos-failover.conf yourself" >&2
    fi
    chmod 750 "$settings"
    if [ ! -e "$settings/config.toml" ]; then
        install -m 640 "$here/config.example.toml" "$settings/config.toml"
        echo "installed $settings/config.toml: edit it"
    fi
    group=$(sed -n 's/^nodeos-failover:[^:]*:\([0-9]*\):.*/\1/p' "$root/etc/group" 2>/dev/null || true)
    if [ -n "$group" ] && [ "$(id -u)" -eq 0 ]; then
        chgrp "$group" "$settings" "$settings"/*.toml
    fi
    if lives; then
        systemctl daemon-reload
    fi
    echo "next: edit $settings/config.toml, nodeos-failover config validate, systemctl enable --now nodeos-failover"
}

uninstall_all() {
    if lives; then
        # every instance, running or not; each agent proves nodeos stopped when it ends
        for kind in "" -gate -keosd; do # the agents first: each closes its gate
            systemctl list-units --all --plain --no-legend "nodeos-failover$kind.service" "nodeos-failover$kind@*.service" |
                while read -r unit _; do systemctl disable --now "$unit"; done
        done
    fi
    for unit in $all; do
        set -- "$@" "$units/$unit"
    done
    for file in "$@" "$users/nodeos-failover.conf"; do
        if [ -e "$file" ]; then
            rm "$file"
            echo "removed $file"
        fi
    done
    if [ "$purge" = yes ]; then
        rm -rf "$settings" "$root/run/nodeos-failover" "$root/var/lib/nodeos-failover" # as apt purge
        for user in nodeos-failover nodeos-gate nodeos-keosd; do
            if grep -q "^$user:" "$root/etc/passwd" 2>/dev/null; then
                userdel --root "${root:-/}" "$user" 2>/dev/null || userdel --prefix "${root:-/}" "$user"
                echo "removed the user $user"
            fi
        done
    elif [ -d "$settings" ]; then
        echo "kept $settings"
    fi
    if lives; then
        systemctl daemon-reload
    fi
}

"${action}_all"
