#!/usr/bin/env bash
# Installs a Covey device: two users, two environments, two systemd units. Says what it changes; run again, it
# changes nothing. Starts nothing: the device must be enrolled first.
#
#   client/deploy/install.sh                     the agent and the SuperNode, covey from the clone that this is in
#   client/deploy/install.sh --wheel FILE.whl    covey from a wheel
#   client/deploy/install.sh --only agent        without the SuperNode, for a device that only attends sessions
#   client/deploy/install.sh --only node         without the agent
#   --index URL                                  another package index, for what covey needs
#   client/deploy/install.sh --dry-run           say what would be changed
#   client/deploy/install.sh --uninstall         units, environments, users; what the device never forgets stays
#   client/deploy/install.sh --uninstall --purge that as well
#   --root DIR                                   in a folder, to look at; makes no users
#   --no-packages                                no environments
#   --python FILE                                another Python than /usr/bin/python3
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
clone=$(cd "$here/../.." && pwd)
umask 022 # the environments are root's, and both users run them
root="" wheel="" index="" only="" python=/usr/bin/python3 dry=0 packages=1 uninstall=0 purge=0

fail() { # message, what to do
  echo "install.sh: $1" >&2
  echo "  $2" >&2
  exit 1
}
while [ $# -gt 0 ]; do
  case "$1" in
    --root | --wheel | --index | --only | --python)
      [ $# -ge 2 ] || fail "$1 needs a value" "install.sh --help"
      printf -v "${1#--}" '%s' "$2"
      shift
      ;;
    --dry-run) dry=1 ;;
    --no-packages) packages=0 ;;
    --uninstall) uninstall=1 ;;
    --purge) purge=1 ;;
    -h | --help)
      sed -n '2,/^set /p' "$0" | sed '$d; s/^# \{0,1\}//'
      exit 0
      ;;
    *) fail "$1: no such option" "install.sh --help" ;;
  esac
  shift
done

case "$only" in '' | agent | node) ;; *) fail "--only $only: there is no such part" "--only agent or --only node" ;; esac
[ -z "$only" ] || [ "$uninstall" = 0 ] || fail "--uninstall takes all away" "leave --only out"
[ -z "$wheel" ] || [ -f "$wheel" ] || fail "$wheel is not there" "build it: pip wheel --no-deps -w . COVEY"

changed=0
act() { # words for the owner, then the command
  echo "$1"
  changed=1
  shift
  [ "$dry" = 1 ] || "$@"
}
part() { [ -z "$only" ] || [ "$only" = "$1" ]; }
have_user() { [ -z "$root" ] && id "$1" >/dev/null 2>&1; }

check() {
  [ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "only root may install" "sudo $0"
  [ "$(getconf LONG_BIT)" = 64 ] ||
    fail "32-bit programs, whatever the kernel is: there are no packages for them" "install 64-bit Raspberry Pi OS"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "$python is no Python 3.11 or newer" "Debian 12 and Raspberry Pi OS have one; or give --python FILE"
  "$python" -c 'import sys; sys.exit(sys.maxsize < 2**32)' ||
    fail "$python is a 32-bit program: there are no packages for it" "give a 64-bit one: --python FILE"
  "$python" -c 'import venv, ensurepip' 2>/dev/null || [ "$packages" = 0 ] ||
    fail "$python has no venv" "apt install python3-venv"
  [ -n "$root" ] || command -v systemctl >/dev/null ||
    fail "no systemd" "run the agent by what starts your services: covey device run"
  check_room
}
check_room() {
  local memory free where="${root:-/opt}"
  memory=$(($(getconf _PHYS_PAGES) * $(getconf PAGE_SIZE) / 1048576))
  [ "$memory" -ge 900 ] ||
    echo "note: $memory MB of memory, and training wants 1000: this device can infer, and answer no plan that trains"
  [ "$packages" = 1 ] || return 0
  while [ ! -d "$where" ]; do where=$(dirname "$where"); done
  free=$(df -Pm "$where" | awk 'NR == 2 {print $4}')
  [ "$free" -ge 4000 ] || is_made || fail "$free MB free in $where, the environments want 4000" "make room"
}
is_made() { # whether no environment is to be made for the first time
  { ! part agent || [ -f "$root/opt/covey/.covey-installed" ]; } &&
    { ! part node || [ -f "$root/opt/covey-node/.covey-installed" ]; }
}

user() { # name, home
  [ -n "$root" ] || have_user "$1" || act "user $1" useradd --system --user-group --home-dir "$2" --shell /usr/sbin/nologin "$1"
}
folder() { # path, mode, owner
  local path="$root$1"
  [ -d "$path" ] && [ "$(stat -c %a "$path")" = "$2" ] && return
  act "folder $1, mode $2" install -d -m "$2" "$path"
  [ "$dry" = 1 ] || [ -n "$root" ] || chown "$3:$3" "$path"
}
owned() { # path, owner: what was done in it as another user, such as root, the owner could not read
  [ -z "$root" ] && [ -d "$1" ] && have_user "$2" || return 0
  [ -z "$(find "$1" -xdev ! -user "$2" -print -quit)" ] || act "all in $1 for $2" chown -Rh "$2:$2" "$1"
}
belongs() { # path, owner
  [ -z "$root" ] && [ -d "$1" ] && have_user "$2" || return 0
  [ "$(stat -c %U "$1")" = "$2" ] || act "folder $1 for $2" chown "$2:$2" "$1"
}
file() { # from, to, mode
  cmp -s "$1" "$root$2" || act "file $2" install -D -m "$3" "$1" "$root$2"
}
environment() { # path, extra
  local path="$root$1" what="${wheel:-$clone}[$2]"
  [ "$packages" = 1 ] || return 0
  local mark="$path/.covey-installed" wanted
  wanted="$what $(source_of | sha256sum | cut -c1-16)"
  [ -f "$mark" ] && [ "$(cat "$mark")" = "$wanted" ] && return
  act "environment $1: $what, which takes some minutes" made "$path" "$what" "$mark" "$wanted"
}
source_of() { # what is installed, to see whether it has changed
  sha256sum "$clone/constraints.txt" ${wheel:+"$wheel"}
  [ -n "$wheel" ] || find "$clone/pyproject.toml" "$clone"/{core,client,strategies,models,cli} -type f \
    ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum
}
made() {
  "$python" -m venv "$1"
  "$1/bin/pip" install --disable-pip-version-check --quiet ${index:+--index-url "$index"} \
    --constraint "$clone/constraints.txt" "$2"
  echo "$4" >"$3"
}
reload() { [ -n "$root" ] || systemctl daemon-reload; }

install_agent() {
  user covey /var/lib/covey
  folder /var/lib/covey 700 covey
  owned /var/lib/covey covey
  folder /var/lib/covey-data 750 covey
  # an application that records may have it, but root may not
  [ "$(stat -c %U "$root/var/lib/covey-data" 2>/dev/null)" != root ] || belongs /var/lib/covey-data covey
  environment /opt/covey device
  file "$here/covey-agent.service" /etc/systemd/system/covey-agent.service 644
  file "$here/device.toml.example" /etc/covey/device.toml.example 644
}
install_node() {
  user covey-node /var/lib/covey-node
  folder /var/lib/covey-node 700 covey-node
  owned /var/lib/covey-node covey-node
  environment /opt/covey-node node
  file "$here/covey-supernode.service" /etc/systemd/system/covey-supernode.service 644
  file "$here/covey-supernode-alive.sh" /opt/covey-node/covey-supernode-alive.sh 755
  for unit in service timer; do
    file "$here/covey-supernode-alive.$unit" "/etc/systemd/system/covey-supernode-alive.$unit" 644
  done
  # read by systemd once it is called .conf
  file "$here/covey-supernode.conf.example" /etc/systemd/system/covey-supernode.service.d/server.conf.example 644
}
install_all() {
  check
  folder /etc/covey 755 root
  belongs /etc/covey root
  ! part agent || install_agent
  ! part node || install_node
  if [ "$changed" = 0 ]; then
    echo "nothing to change"
    return
  fi
  [ "$dry" = 1 ] || reload
  cat <<'NEXT'
next, as the agent's user, with a token from the fleet's owner:
  sudo -u covey /opt/covey/bin/covey device enrol --server URL --token-file TOKEN --name NAME
  cp /etc/covey/device.toml.example /etc/covey/device.toml     and change it
  systemctl enable --now covey-agent
and, unless the device attends the session service, the SuperNode:
  install -o covey-node -g covey-node -m 600 /var/lib/covey/node.key /var/lib/covey/ca.crt /var/lib/covey-node
  echo COVEY_SUPERLINK=HOST:443 > /etc/covey/supernode.env
  systemctl enable --now covey-supernode
  covey device doctor
NEXT
}

uninstall_all() {
  [ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "only root may uninstall" "sudo $0 --uninstall"
  for unit in covey-supernode-alive.timer covey-supernode-alive.service covey-supernode.service covey-agent.service; do
    local path="$root/etc/systemd/system/$unit"
    [ -e "$path" ] || continue
    [ -n "$root" ] || systemctl disable --now "$unit" >/dev/null 2>&1 || true
    act "no unit $unit" rm -rf "$path" "$path.d/server.conf.example"
    [ "$dry" = 1 ] || rmdir "$path.d" 2>/dev/null || true
  done
  local gone=(/opt/covey /opt/covey-node /var/lib/covey-node /etc/covey/device.toml.example)
  [ "$purge" = 0 ] || gone+=(/var/lib/covey /var/lib/covey-data /etc/covey)
  for path in "${gone[@]}"; do
    [ ! -e "$root$path" ] || act "no $path" rm -rf "$root$path"
  done
  [ -n "$root" ] || for name in covey-node covey; do
    ! have_user "$name" || { [ "$name" = covey ] && [ "$purge" = 0 ]; } || act "no user $name" userdel "$name"
  done
  [ "$changed" = 1 ] || echo "nothing to change"
  [ "$dry" = 1 ] || reload
  [ "$purge" = 1 ] || echo "kept: /var/lib/covey (keys, budget, claims), /var/lib/covey-data, /etc/covey; --purge removes them"
}

if [ "$uninstall" = 1 ]; then uninstall_all; else install_all; fi
