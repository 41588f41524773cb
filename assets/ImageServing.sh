#!/bin/sh
### BEGIN INIT INFO
# Provides:          ImageServing
# Required-Start:    $local_fs $remote_fs $network
# Required-Stop:     $local_fs $remote_fs $network
# Should-Start:      $syslog $time
# Should-Stop:       $syslog
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Image Serving
# Description:       The Server Supervisor of Image Serving and its components.
### END INIT INFO
# chkconfig: 2345 90 10
#
# ImageServing {start|stop|restart|status|...} [is|svg|ps ...]
#
# Stands in the install folder's bin/ (or is linked from /etc/init.d) and passes its arguments on
# to s7supervisor: the one that $S7SUPERVISOR names, else the one beside it, else that on PATH.
# Its exit status is that of s7supervisor.

self=$0
# The installation is where the script is, not where a link to it is.
while [ -h "$self" ]; do
    # `readlink` is not everywhere; POSIX gives `ls` this form for links.
    target=$(ls -ld -- "$self")
    target=${target#*"$self -> "}
    case $target in
        /*) self=$target ;;
        *) self=$(dirname -- "$self")/$target ;;
    esac
done
bin=$(CDPATH='' cd -- "$(dirname -- "$self")" && pwd -P) || exit 1

: "${S7_INSTALL_FOLDER:=$(dirname -- "$bin")}"
export S7_INSTALL_FOLDER

if [ -n "${S7SUPERVISOR:-}" ]; then
    program=$S7SUPERVISOR
elif [ -x "$bin/s7supervisor" ]; then
    program=$bin/s7supervisor
elif program=$(command -v s7supervisor); then
    :
else
    echo "cannot find s7supervisor: it is not in $bin, not on PATH, and S7SUPERVISOR is not set" >&2
    # LSB: the program is not installed.
    exit 5
fi
exec "$program" "$@"
