#!/bin/bash
# Makes the pictures of the README from the real binary: docs/pictures/{components,details,logs}.svg.
#
# Tools: tmux (the terminal), python3 with venv (rich, from PyPI, in a temporary environment).
# Usage: docs/pictures/make.sh [BINARY]     default: target/release/s7supervisor
# It takes three minutes, because a chart of two minutes does. Everything happens in a temporary
# folder, and nothing is left running.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=$(realpath "${1:-$here/../../target/release/s7supervisor}")
columns=112 rows=30
work=$(mktemp -d)
mkdir -p "$work/home" "$work/shop/conf" "$work/shop/logs" "$work/shop/bin"
cp "$here/SupervisorRegistry.xml" "$work/shop/conf/"
cp "$here/server.sh" "$here/crashes.sh" "$work/shop/bin/"

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'rich==14.*'

terminal() { tmux -L "s7pictures-$$" -f /dev/null "$@"; }
screen() { terminal capture-pane -p -t console; }
clean_up() {
    "$binary" -i "$work/shop" -q stop >/dev/null 2>&1 || true
    terminal kill-server 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

# Waits until the screen shows $1, for $2 seconds at most.
shows() {
    local left=$(("${2:-30}" * 5))
    until screen | grep -qF -- "$1"; do
        ((left-- > 0)) || { echo "waited in vain for: $1" >&2; screen >&2; exit 1; }
        sleep 0.2
    done
}
keys() { for key in "$@"; do terminal send-keys -t console "$key"; sleep 0.4; done; }
picture() {
    # With the blanks at the ends of lines: the selected row is as wide as the screen.
    terminal capture-pane -p -e -N -t console |
        "$work/venv/bin/python" "$here/svg.py" "$2" "$columns" >"$here/$1.svg"
    echo "made $1.svg"
}

terminal new-session -d -s console -x "$columns" -y "$rows" \
    "env -u NO_COLOR HOME=$work/home XDG_STATE_HOME=$work/home LC_ALL=C.UTF-8 TERM=xterm-256color \
     $binary -i $work/shop console"
shows "mailer"
shows "failed"
keys Escape Down Down
shows "ps stdout+stderr"
echo "two minutes, for the charts"
sleep 130
picture components "s7supervisor console"

keys Enter
shows "Info"
keys Tab
shows "Charts"
sleep 2
picture details "s7supervisor console: details of ps"

keys Escape Home
keys l
shows "FOLLOW"
keys t / W A R N Enter
shows "WARN"
picture logs "s7supervisor console: the log of is, searched"

keys Escape Escape q
shows "stop all components"
keys s
left=100
while terminal has-session -t console 2>/dev/null; do
    ((left-- > 0)) || { echo "the console does not end" >&2; exit 1; }
    sleep 0.2
done
