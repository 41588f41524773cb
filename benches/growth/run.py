#!/usr/bin/env python3
"""What a component costs, and whether a thousandth costs more than the tenth.

  cargo build --release && benches/growth/run.py            # 10, 100, 1,000 and 5,000 components
  benches/growth/run.py --n 1,1000 --smaps                  # where the memory is

Runs the real binary with that many small, static children (`child.c`, so it takes a C compiler)
in a folder in memory, and measures, one after the other:

  memory     PSS of all processes of the Supervisor, at rest
  idle       its CPU time and context switches while nobody watches
  start      from its launch until the last child runs, and the CPU time that took it
  status     the command, 20 times; the median
  restart    the command, until the new child runs, 10 times; the median
  crash      from SIGKILL of a child until the next one runs, 20 times; the median
  watched    CPU while a console reads /v1/updates: one sample a second; the longest pause
             between two samples, and the turns of its loop that came more than 25 ms late
  console    (--console) the same with a real console in a terminal of 200x60, whose own CPU and
             bytes are told too; then `r` `r`, until the new child of its first row runs
  stop       from SIGTERM until everything has gone

Python 3.9 with its standard library; Linux. Ends only what it has started.
"""
import argparse
import fcntl
import glob
import json
import mmap
import os
import pty
import resource
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def now():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def stat_of(pid):
    """(parent, state) of a process."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b") ")[2].split(b" ", 2)
    return int(fields[1]), fields[0].decode()


class Supervisor:
    """One Supervisor with `count` components, in a folder of its own."""

    def __init__(self, binary, count, child):
        self.binary, self.count, self.child = binary, count, child
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.mkdtemp(prefix="s7-growth-", dir=base)
        os.mkdir(self.folder + "/conf")
        self.times = self.folder + "/times"
        with open(self.times, "wb") as file:
            file.truncate(8 * count)
            self.file = open(self.times, "r+b")
        self.starts = mmap.mmap(self.file.fileno(), 8 * count)
        servers = "".join(
            f"""    <server id="c{i:05}">
      <executable>{child}</executable>
      <arguments><argument>{self.times}</argument><argument>{i}</argument></arguments>
      <restart delay="0" maxRestarts="0"/>
    </server>
"""
            for i in range(count)
        )
        with open(self.folder + "/conf/SupervisorRegistry.xml", "w") as file:
            file.write(
                "<supervisor>\n  <config><tcpport>0</tcpport><temp>temp</temp></config>\n"
                f"  <servers>\n{servers}  </servers>\n</supervisor>\n"
            )
        self.process = None

    def command(self, *arguments):
        return [self.binary, "-i", self.folder, *arguments]

    def started(self, index):
        return struct.unpack_from("<Q", self.starts, 8 * index)[0]

    def start(self):
        with open(self.folder + "/out", "wb") as out:
            begin = now()
            self.process = subprocess.Popen(
                self.command("run"), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )
        empty = bytes(8)
        missing = list(range(self.count))
        while missing:
            if self.process.poll() is not None:
                raise SystemExit("it ended: " + open(self.folder + "/out").read()[-1000:])
            if now() - begin > 120e9:
                raise SystemExit(f"{len(missing)} of {self.count} did not start within 120 s")
            time.sleep(0.001)
            missing = [i for i in missing if self.starts[8 * i : 8 * i + 8] == empty]
        return (max(self.started(i) for i in range(self.count)) - begin) / 1e6

    def own(self):
        """Its processes: itself and whatever of it is no component."""
        parents, own = {}, []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    parent, state = stat_of(name)
                except OSError:
                    continue
                if state not in "ZX":
                    parents.setdefault(parent, []).append(int(name))
        ahead = [self.process.pid]
        while ahead:
            pid = ahead.pop()
            try:
                executable = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
            except OSError:
                continue
            if executable != self.child:
                own.append(pid)
                ahead.extend(parents.get(pid, []))
        return own

    def children(self):
        """index -> pid of the components."""
        found = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/cmdline", "rb") as file:
                        words = file.read().split(b"\0")
                except OSError:
                    continue
                if len(words) > 2 and words[1] == self.times.encode():
                    found[int(words[2])] = int(name)
        return found

    def cpu(self):
        """(CPU time in ns, voluntary context switches) of its own processes."""
        total = switches = 0
        for pid in self.own():
            try:
                # The clock of a process, which counts threads that have ended as well.
                total += time.clock_gettime_ns((~pid << 3) | 2)
                for status in glob.glob(f"/proc/{pid}/task/*/status"):
                    with open(status) as file:
                        for line in file:
                            if line.startswith("voluntary"):
                                switches += int(line.split()[1])
            except OSError:
                pass
        return total, switches

    def memory(self):
        """Sums of /proc/PID/smaps_rollup in KiB."""
        total = {}
        for pid in self.own():
            with open(f"/proc/{pid}/smaps_rollup") as file:
                for line in file.read().splitlines()[1:]:
                    name, size = line.split(":")
                    total[name] = total.get(name, 0) + int(size.split()[0])
        return total

    def mappings(self):
        """PSS by mapping, in KiB, of each of its processes."""
        for pid in sorted(self.own()):
            kinds, name = {}, ""
            with open(f"/proc/{pid}/smaps") as file:
                for line in file:
                    words = line.split()
                    if len(words) >= 5 and "-" in words[0]:
                        name = f"{os.path.basename(words[5]) if len(words) > 5 else '[anon]'} {words[1]}"
                    elif words[0] == "Pss:":
                        kinds[name] = kinds.get(name, 0) + int(words[1])
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            print(f"  process {pid}: {b' '.join(words)[:60].decode()}")
            for name, size in sorted(kinds.items(), key=lambda entry: -entry[1]):
                if size:
                    print(f"    {size:7} KiB  {name}")

    def until_started_again(self, index, before, begin, what):
        while self.started(index) == before:
            if now() - begin > 20e9:
                raise SystemExit(f"{what}: no new child within 20 s")
            time.sleep(0.0002)
        return (self.started(index) - begin) / 1e6

    def restart(self, index):
        before, begin = self.started(index), now()
        command = subprocess.Popen(
            self.command("restart", f"c{index:05}"), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        took = self.until_started_again(index, before, begin, "restart")
        command.wait(20)
        return took

    def crash(self, index, pid):
        before, begin = self.started(index), now()
        os.kill(pid, signal.SIGKILL)
        return self.until_started_again(index, before, begin, "crash")

    def status(self):
        begin = now()
        answer = subprocess.run(
            self.command("status", "--json"), stdin=subprocess.DEVNULL, capture_output=True
        )
        took = (now() - begin) / 1e6
        said = sum(c["state"] == "running" for c in json.loads(answer.stdout)["components"])
        if said != self.count:
            raise SystemExit(f"status says that {said} of {self.count} run")
        return took

    def get(self, path):
        with socket.socket(socket.AF_UNIX) as way:
            way.connect(self.folder + "/temp/supervisor.sock")
            way.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = bytearray()
            while chunk := way.recv(1 << 20):
                answer += chunk
        return answer.partition(b"\r\n\r\n")[2].decode()

    def late_turns(self):
        """(turns of the loop that were due, those that came more than 25 ms late)."""
        every = early = 0
        for line in self.get("/metrics").splitlines():
            if line.startswith("s7supervisor_loop_delay_seconds_bucket"):
                count = int(float(line.split()[-1]))
                if 'le="0.025"' in line:
                    early = count
                if 'le="+Inf"' in line:
                    every = count
        return every, every - early

    def watch(self, seconds):
        """Reads the stream that a console reads."""
        with socket.socket(socket.AF_UNIX) as way:
            way.connect(self.folder + "/temp/supervisor.sock")
            way.sendall(b"GET /v1/updates HTTP/1.1\r\nHost: localhost\r\n\r\n")
            samples, rest, count = [], b"", 0
            mark = b'"type":"sample"'
            way.settimeout(5)
            end = None
            while end is None or time.monotonic() < end:
                if not select.select([way], [], [], 0.1)[0]:
                    continue
                chunk = way.recv(1 << 20)
                if not chunk:
                    raise SystemExit("the stream ended")
                count += len(chunk)
                text = rest + chunk
                for _ in range(text.count(mark)):
                    samples.append(time.monotonic())
                rest = text[-len(mark) + 1 :] if not text.endswith(mark) else b""
                if end is None and samples:
                    # The snapshot is behind us.
                    end = time.monotonic() + seconds
                    before, late = self.cpu(), self.late_turns()
            after, late_now = self.cpu(), self.late_turns()
        pauses = [b - a for a, b in zip(samples, samples[1:])]
        return {
            "watched_cpu_ms_per_s": (after[0] - before[0]) / 1e6 / seconds,
            "samples": len(samples) - 1,
            "longest_pause_s": max(pauses, default=0.0),
            "late_turns": late_now[1] - late[1],
        }

    def console(self, seconds):
        """A console watches, in a terminal; then its operator restarts the first row."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execv(self.binary, self.command("console"))
        try:
            return self.watched_by(pid, terminal, seconds)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(terminal)

    def watched_by(self, pid, terminal, seconds):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
        os.set_blocking(terminal, False)
        drawn = []

        def drain(until, done=lambda: False):
            while now() < until and not done():
                if select.select([terminal], [], [], 0.0005)[0]:
                    drawn.append((now(), len(os.read(terminal, 1 << 20))))

        def own():
            return time.clock_gettime_ns((~pid << 3) | 2)

        drain(now() + 10e9)  # the snapshot, and the first samples
        drawn.clear()
        before, mine, late = self.cpu(), own(), self.late_turns()
        drain(now() + seconds * 1e9)
        after, mine_now, late_now = self.cpu(), own(), self.late_turns()
        frames = [drawn[0][0]] if drawn else []
        pauses = [b[0] - a[0] for a, b in zip(drawn, drawn[1:])]
        # What comes within a tenth of a second is one frame in pieces, or the clock beside it.
        frames += [b[0] for b, pause in zip(drawn[1:], pauses) if pause > 100e6]
        row = {
            "console_supervisor_cpu_ms_per_s": (after[0] - before[0]) / 1e6 / seconds,
            "console_own_cpu_ms_per_s": (mine_now - mine) / 1e6 / seconds,
            "console_frames_per_s": len(frames) / seconds,
            "console_longest_pause_s": max(pauses, default=seconds * 1e9) / 1e9,
            "console_bytes_per_s": sum(size for _, size in drawn) / seconds,
            "console_late_turns": late_now[1] - late[1],
        }
        os.write(terminal, b"g")
        drain(now() + 300e6)
        runs = self.starts[:]
        os.write(terminal, b"r")
        drain(now() + 300e6)
        begin = now()
        os.write(terminal, b"r")
        drain(begin + 20e9, lambda: self.starts[:] != runs)
        again = [i for i in range(self.count) if self.starts[8 * i : 8 * i + 8] != runs[8 * i : 8 * i + 8]]
        if len(again) != 1:
            raise SystemExit(f"`r` `r` in the console started {again} instead of one component")
        row["console_restart_ms"] = (self.started(again[0]) - begin) / 1e6
        return row

    def stop(self):
        ends = [*self.own(), *self.children().values()]
        begin = now()
        os.kill(self.process.pid, signal.SIGTERM)
        waiting = select.epoll()
        handles = []
        for pid in ends:
            try:
                handle = os.pidfd_open(pid)
            except OSError:
                continue
            handles.append(handle)
            waiting.register(handle, select.EPOLLIN)
        left = len(handles)
        while left:
            for handle, _ in waiting.poll(30, 1024) or [(None, None)]:
                if handle is None:
                    raise SystemExit(f"{left} processes have not gone within 30 s")
                waiting.unregister(handle)
                left -= 1
        took = (now() - begin) / 1e6
        for handle in handles:
            os.close(handle)
        self.process.wait(10)
        return took

    def close(self):
        """Whatever went wrong, nothing is left behind."""
        if self.process and self.process.poll() is None:
            for pid in [*self.own(), *self.children().values()]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self.process.wait(10)
            for pid in self.children().values():
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def measure(binary, count, child, options):
    supervisor = Supervisor(binary, count, child)
    row = {"components": count}
    try:
        row["start_ms"] = supervisor.start()
        row["start_cpu_ms"] = supervisor.cpu()[0] / 1e6
        time.sleep(options.rest)
        memory = supervisor.memory()
        row["pss_kib"], row["rss_kib"] = memory["Pss"], memory["Rss"]
        if options.smaps:
            supervisor.mappings()
        before = supervisor.cpu()
        time.sleep(options.idle)
        after = supervisor.cpu()
        row["idle_cpu_ms_per_min"] = (after[0] - before[0]) / 1e6 / options.idle * 60
        row["idle_switches_per_s"] = max(0, after[1] - before[1]) / options.idle
        if not options.quick:
            row["status_ms"] = statistics.median(supervisor.status() for _ in range(20))
            ids = [(7 * k) % count for k in range(10)]
            row["restart_ms"] = statistics.median(supervisor.restart(i) for i in ids)
            time.sleep(1)
            crashes = []
            for k in range(20):
                index = (11 * k + 3) % count
                crashes.append(supervisor.crash(index, supervisor.children()[index]))
                time.sleep(0.1)
            row["crash_ms"] = statistics.median(crashes)
            row.update(supervisor.watch(options.watch))
            if options.console:
                row.update(supervisor.console(options.watch))
        row["stop_ms"] = supervisor.stop()
    finally:
        supervisor.close()
    return row


def allow_descriptors(count):
    """The Supervisor holds three for each component, and more while it looks at them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, count))
    except ValueError:
        print(f"at most {hard} descriptors are allowed here: some {hard // 4} components", file=sys.stderr)


def main():
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--binary", default=ROOT + "/target/release/s7supervisor")
    words.add_argument("--n", default="10,100,1000,5000", help="numbers of components")
    words.add_argument("--rest", type=float, default=10, help="seconds before memory is read")
    words.add_argument("--idle", type=float, default=10, help="seconds of idling")
    words.add_argument("--watch", type=float, default=20, help="seconds of watching")
    words.add_argument("--console", action="store_true", help="watched by a console, too")
    words.add_argument("--smaps", action="store_true", help="memory by mapping")
    words.add_argument("--quick", action="store_true", help="memory, idling, start and stop alone")
    options = words.parse_args()
    binary = os.path.abspath(options.binary)
    allow_descriptors(4 * max(map(int, options.n.split(","))))
    with tempfile.TemporaryDirectory(prefix="s7-growth-") as folder:
        child = folder + "/child"
        subprocess.run(
            ["cc", "-static", "-Os", "-o", child, HERE + "/child.c"], check=True
        )
        for count in map(int, options.n.split(",")):
            row = measure(binary, count, child, options)
            print(json.dumps({k: round(v, 2) for k, v in row.items()}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
