#!/bin/bash
# Installs those of the Debian packages named on the command line that are missing. Without root and
# without sudo that needs no password it prints their names and fails. If nothing is missing it runs
# one dpkg-query only.
set -u -o pipefail

if ! command -v dpkg-query > /dev/null; then
    echo "deps: this is no Debian system; needed are, by Debian's names: $*" >&2
    exit 1
fi
present=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2> /dev/null | sed -n 's/^installed //p')
missing=$(comm -23 <(printf '%s\n' "$@" | sort -u) <(sort -u <<< "$present") | tr '\n' ' ')
[ -z "${missing// /}" ] && exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=()
elif sudo -n true 2> /dev/null; then
    as_root=(sudo -n)
else
    echo "deps: these packages are missing; install them and run make again:" >&2
    echo "    apt-get install --no-install-recommends $missing" >&2
    exit 1
fi

echo "deps: installing $missing"
# The long output of apt-get is shown only if it fails.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $missing
}
if ! install > "$log" 2>&1; then
    cat "$log" >&2
    echo "deps: the installation failed (output of apt-get above)" >&2
    exit 1
fi
