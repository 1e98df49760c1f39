#!/bin/sh
# Roles and users of one group in etcd, with no more rights than they need. Run it again at will: it only adds.
#
#   access.sh GROUP [--prefix KEY] [--agent NAME]... [--operator NAME]... [--password-dir DIR | --no-password]
#
# Agents read the group, and write what agents write; operators write everything of the group; neither sees anything
# else. How to reach etcd, and as whom (root, once authentication is on), comes from etcdctl's own environment:
# ETCDCTL_ENDPOINTS, ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY, ETCDCTL_USER, ETCDCTL_PASSWORD.
#
# --password-dir DIR: the password of NAME is in DIR/NAME; one that is missing is made there, for its owner's eyes only.
# --no-password: users that show a client certificate with NAME as its common name (--client-cert-auth).
# Passwords go to etcdctl by standard input: arguments are seen by everybody on the host.
set -eu
umask 077
export ETCDCTL_API=3

fail() {
    echo "access.sh: $*" >&2
    exit 2
}

usage() {
    sed -n '4p' "$0" | cut -c3- >&2
    exit 2
}

[ $# -ge 1 ] || usage
group=$1
shift
prefix=/nodeos-failover
agents=
operators=
directory=
no_password=
while [ $# -gt 0 ]; do
    case $1 in
    --no-password)
        no_password=yes
        shift
        ;;
    --prefix | --agent | --operator | --password-dir)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in
        --prefix) prefix=${2%/} ;;
        --agent) agents="$agents $2" ;;
        --operator) operators="$operators $2" ;;
        --password-dir) directory=$2 ;;
        esac
        shift 2
        ;;
    *) usage ;;
    esac
done
case $group in
'' | -* | *[!A-Za-z0-9._-]*) fail "GROUP: letters, digits, '.', '_' and '-' only, got '$group'" ;;
esac
case $agents$operators in
*[!A-Za-z0-9._\ -]*) fail "NAME: letters, digits, '.', '_' and '-' only" ;;
esac
[ -n "$directory" ] || [ -n "$no_password" ] || [ -z "$agents$operators" ] ||
    fail "say where the passwords are (--password-dir DIR), or --no-password for client certificates"
command -v etcdctl >/dev/null || fail "etcdctl is not on PATH"

# etcdctl has no "unless it is there": its refusal is looked at, any other one ends the script.
unless_there() {
    if ! said=$("$@" 2>&1); then
        case $said in
        *'already exists'*) ;;
        *) fail "etcdctl: $said" ;;
        esac
    fi
}

grant() { # ROLE TYPE KEY [--prefix]
    etcdctl role grant-permission "$@" >/dev/null
}

root=$prefix/$group/
# etcdctl waits for ever with roles and users where etcd does not answer, or refuses to talk without a client certificate.
said=$(etcdctl --command-timeout=5s get "$root" --limit=1 --keys-only 2>&1) ||
    fail "etcd does not let us work: quorum, ETCDCTL_ENDPOINTS, and root's ETCDCTL_CERT or ETCDCTL_USER? etcdctl: $said"
agent=nodeos-failover-$group-agent
operator=nodeos-failover-$group-operator
unless_there etcdctl role add "$agent"
unless_there etcdctl role add "$operator"
grant "$agent" read "$root" --prefix
for key in leader heartbeat switchover answer format peers-key; do
    grant "$agent" readwrite "$root$key"
done
for key in members/ history/ ledger/; do
    grant "$agent" readwrite "$root$key" --prefix
done
grant "$operator" readwrite "$root" --prefix

user() { # NAME ROLE
    if [ -n "$no_password" ]; then
        unless_there etcdctl user add "$1" --no-password
    else
        mkdir -p "$directory"
        [ -s "$directory/$1" ] || head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$directory/$1"
        unless_there etcdctl user add "$1" --interactive=false <"$directory/$1"
    fi
    etcdctl user grant-role "$1" "$2" >/dev/null
    echo "$1: $2"
}

for name in $agents; do user "$name" "$agent"; done
for name in $operators; do user "$name" "$operator"; done
