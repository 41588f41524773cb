#!/usr/bin/env python3
"""Counts instructions, which other work on the machine does not change: two fixed jobs under
callgrind, to be compared from commit to commit.

  cargo build --profile profiling && benches/instructions.py
  benches/instructions.py --out before.json          # … change, build …
  benches/instructions.py --compare before.json      # what became more or less
  benches/instructions.py --keep DIR                 # leaves callgrind.out.* for callgrind_annotate

  restart   the Supervisor's instructions for a crash and the next start of one of 10 components
            (the difference of a run with 60 crashes and one with 10, a crash)
  status    those of the Supervisor for one GET /v1/status of 10 components, likewise
  command   those of one `s7supervisor status --json`, all of it

Valgrind counts what the program and its libraries do, not the kernel's part; and it makes the child
by another way than clone3, which it does not know. Figures vary by a per cent or so from run to
run (hash seeds, how threads meet). Python 3.9 with its standard library; valgrind, cc.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "growth"))
import run as growth  # noqa: E402

COMPONENTS = 10


def valgrind(out):
    return ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}", "--trace-children=no"]


def total(folder, name):
    """Instructions of the Supervisor itself: the largest of what the processes left."""
    most = 0
    for file in os.listdir(folder):
        if file.startswith(name + "."):
            with open(os.path.join(folder, file)) as text:
                for line in text:
                    if found := re.match(r"(?:summary|totals): (\d+)", line):
                        most = max(most, int(found[1]))
    return most


def supervisor(binary, child, folder, name, work):
    """A whole life of a Supervisor under callgrind, with `work` in it."""
    one = growth.Supervisor(binary, COMPONENTS, child)
    plain = one.command
    run = [*valgrind(f"{folder}/{name}.%p"), *plain("run"), "--no-guardian"]
    one.command = lambda *_run: run
    try:
        one.start()
        one.command = plain
        # Nothing of the start is under way any more.
        while any(c["state"] != "running" for c in json.loads(one.get("/v1/status"))["components"]):
            time.sleep(0.1)
        work(one)
        end(one)
    finally:
        one.command = plain
        one.close()
    return total(folder, name)


def end(one):
    """Valgrind knows no pidfd_send_signal, so the Supervisor's own stop would take its time-out."""
    os.kill(one.process.pid, signal.SIGTERM)
    time.sleep(0.5)
    for pid in one.children().values():
        os.kill(pid, signal.SIGTERM)
    one.process.wait(60)


def crashes(count):
    def work(one):
        for k in range(count):
            index = k % COMPONENTS
            one.crash(index, one.children()[index])
            # Its run is known to be going on before the next one ends.
            while json.loads(one.get("/v1/status"))["components"][index]["state"] != "running":
                time.sleep(0.02)

    return work


def requests(count):
    def work(one):
        for _ in range(count):
            one.get("/v1/status")

    return work


def per_one(binary, child, folder, name, work):
    few = supervisor(binary, child, folder, name + "-few", work(10))
    many = supervisor(binary, child, folder, name + "-many", work(60))
    return (many - few) // 50


def command(binary, child, folder):
    one = growth.Supervisor(binary, COMPONENTS, child)
    try:
        one.start()
        words = [*valgrind(f"{folder}/command.%p"), *one.command("status", "--json")]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        one.stop()
    finally:
        one.close()
    return total(folder, "command")


def main():
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--binary", default=growth.ROOT + "/target/profiling/s7supervisor")
    words.add_argument("--out", help="write the figures there")
    words.add_argument("--compare", help="figures of an earlier run")
    words.add_argument("--keep", help="leave callgrind's files there")
    options = words.parse_args()
    binary = os.path.abspath(options.binary)
    with tempfile.TemporaryDirectory(prefix="s7-instructions-") as temporary:
        folder = options.keep or temporary
        os.makedirs(folder, exist_ok=True)
        child = temporary + "/child"
        subprocess.run(["cc", "-static", "-Os", "-o", child, growth.HERE + "/child.c"], check=True)
        status = per_one(binary, child, folder, "status", requests)
        # Each crash is followed by one request at least; that one is known.
        restart = per_one(binary, child, folder, "restart", crashes)
        figures = {
            "restart": restart,
            "status": status,
            "command": command(binary, child, folder),
            "binary_bytes": os.stat(binary).st_size,
        }
    before = {}
    if options.compare:
        with open(options.compare) as file:
            before = json.load(file)
    for name, count in figures.items():
        change = f"  {(count / before[name] - 1) * 100:+.1f} %" if before.get(name) else ""
        print(f"{name:14}{count:>14,}{change}")
    if options.out:
        with open(options.out, "w") as file:
            json.dump(figures, file)


if __name__ == "__main__":
    sys.exit(main())
