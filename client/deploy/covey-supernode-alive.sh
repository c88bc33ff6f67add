#!/bin/bash
# Restarts the SuperNode when its server can be reached and it has had no connection to it for SECONDS. One whose
# main thread has died stays alive, and its health port says SERVING; one that is well asks every three seconds.
#   covey-supernode-alive.sh HOST:PORT [SECONDS [EVERY]]
set -euo pipefail
unit=covey-supernode user=covey-node
host=${1%:*} port=${1##*:} seconds=${2:-600} every=${3:-5}
host=${host#[} host=${host%]}
uid=$(id -u "$user")

begun() { systemctl show --property=InvocationID --value "$unit"; }
connected() { # an established connection of that user to that port (proc(5), net/tcp)
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v uid="$uid" -v port="$(printf ':%04X' "$port")" '
    $4 == "01" && $8 == uid && substr($3, length($3) - 4) == port { found = 1 } END { exit !found }'
}
reachable() { timeout 10 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "$port" 2>/dev/null; }

systemctl is-active --quiet "$unit" || exit 0
before=$(begun)
until=$((SECONDS + seconds))
while [ "$SECONDS" -lt "$until" ]; do
  ! connected || exit 0
  sleep "$every"
done
[ "$(begun)" = "$before" ] || exit 0 # it was started anew meanwhile
if ! reachable; then
  echo "no connection for $seconds s, but $1 cannot be reached either: $unit is left alone"
  exit 0
fi
echo "no connection for $seconds s, and $1 can be reached: $unit is restarted"
systemctl restart "$unit"
