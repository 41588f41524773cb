#!/bin/sh
# Pretends to be a renderer that meets a file it does not survive.
echo "rendering queue opened"
sleep 2
echo "rendering /tmp/upload/4411.svg"
kill -SEGV $$
