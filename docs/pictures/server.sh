#!/bin/sh
# Pretends to be a server: $1 megabytes, and a request about every $2 seconds. Its load comes and
# goes in waves.
megabytes=$1 pause=$2
memory=$(head -c "$((megabytes << 19))" /dev/zero | tr '\0' x)
echo "listening, ${megabytes} MB of cache"
number=0
while sleep "$pause"; do
    number=$((number + 1))
    wave=$((number % 90 - 45))
    work=$((wave * wave * 4))
    while [ "$work" -gt 0 ]; do work=$((work - 1)); done
    id=$((number * 2654435761 % 4294967296))
    case $((number % 41)) in
        17) printf '\033[33mWARN\033[0m cache 91%% full, evicting id=%08x\n' "$id" ;;
        29)
            echo "java.io.IOException: Broken pipe" >&2
            printf '\tat org.apache.catalina.Connector.write(Connector.java:214)\n' >&2
            ;;
        *)
            printf 'INFO req id=%08x path=/is/image/shop/%d status=200 dur=%dms\n' \
                "$id" "$((number * 31 % 9000))" "$((number * 13 % 60 + 4))"
            ;;
    esac
done
echo "$memory" >/dev/null
