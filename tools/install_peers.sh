#!/bin/sh
# The peers that the conformance tests talk to: DCMTK, Orthanc and tshark, from Debian's packages.
# Installs what is missing where it may; otherwise says what to install, and fails.
set -eu

missing=""
need() {
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}
need storescu dcmtk
need dcmrecv dcmtk
need Orthanc orthanc
need tshark tshark
[ -n "$missing" ] || exit 0
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')

if ! command -v apt-get >/dev/null 2>&1; then
    echo "The conformance tests need these programs on the PATH, by the names of Debian's packages: $missing" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "Install these packages as root, then try again: apt-get install $missing" >&2
        exit 1
    fi
    as_root="sudo"
fi
echo "Installing the peers: $missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
