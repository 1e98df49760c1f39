#!/bin/sh
# Certificates for etcd and for those who use it: one CA, one pair for each member, one for each user. Needs openssl.
#
#   certificates.sh DIR member NAME ADDRESS[,ADDRESS]...     a member; ADDRESS is an IP address or a DNS name
#   certificates.sh DIR user NAME                            an agent or an operator; NAME is its user in etcd
#
# The CA is made at the first call and used by the next ones; keep DIR/ca.key off the hosts. What is there stays: to
# renew a certificate, remove its two files first. YEARS (default 3) is how long a certificate lasts.
set -eu
umask 077

fail() {
    echo "certificates.sh: $*" >&2
    exit 2
}

case ${2-} in
member) [ $# -eq 4 ] || fail "say: DIR member NAME ADDRESS[,ADDRESS]..." ;;
user) [ $# -eq 3 ] || fail "say: DIR user NAME" ;;
*) fail "say: DIR member NAME ADDRESS[,ADDRESS]..., or: DIR user NAME" ;;
esac
directory=$1
kind=$2
name=$3
days=$((${YEARS:-3} * 365))
case $name in
'' | -* | *[!A-Za-z0-9._-]*) fail "NAME: letters, digits, '.', '_' and '-' only, got '$name'" ;;
esac

new_key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
quiet() { # openssl's chatter only when it fails
    said=$("$@" 2>&1) || fail "$said"
}

mkdir -p "$directory"
cd "$directory"
if [ ! -s ca.crt ]; then
    # shellcheck disable=SC2086 # several words on purpose
    quiet openssl req -x509 $new_key -keyout ca.key -out ca.crt -days 3650 -subj /CN=nodeos-failover-etcd-ca
fi
[ ! -e "$name.crt" ] || fail "$directory/$name.crt is there: remove it and $name.key to renew"

# A member shows its certificate to other members and to its own gateway too: both usages.
if [ "$kind" = member ]; then
    alternatives=$(echo "$4" | tr ',' '\n' | sed -E 's/^([0-9.]+|.*:.*)$/IP:\1/; t; s/^/DNS:/' | paste -sd,)
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$alternatives" >"$name.ext"
else
    echo extendedKeyUsage=clientAuth >"$name.ext"
fi
# shellcheck disable=SC2086 # several words on purpose
quiet openssl req -new $new_key -keyout "$name.key" -out "$name.csr" -subj "/CN=$name"
quiet openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" \
    -extfile "$name.ext" -out "$name.crt"
rm -f "$name.csr" "$name.ext"
chmod 644 ca.crt "$name.crt"
echo "$directory/$name.crt"
