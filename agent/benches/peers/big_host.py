"""A host of any size as files, for `agent.host_root`: what the four kernel plugins read, its counters growing.

    python3 big_host.py FOLDER [--cores 512] [--interfaces 300] [--disks 500] [--mounts 1000] [--interval 1]

Makes the tree and a config (FOLDER/perfwatch.toml: the four, as JSON lines), prints "ready" and rewrites the counters in place every interval until
stdin closes; with --interval 0 it ends at once and nothing grows. The mounts are plain folders, so that statvfs answers. Numbers follow from the place
in the list and have the width that they have on a host that is up for weeks; in place, they never get longer, so a file is never seen cut.
"""
import argparse
import os
import select
import sys

ap = argparse.ArgumentParser(description=__doc__)
ap.add_argument("folder")
for name, default in (("cores", 512), ("interfaces", 300), ("disks", 500), ("mounts", 1000)):
    ap.add_argument("--" + name, type=int, default=default)
ap.add_argument("--interval", type=float, default=1)
args = ap.parse_args()
root = os.path.abspath(args.folder)


def put(path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, text.encode())
    os.ftruncate(fd, len(text.encode()))
    os.close(fd)


def stat(t):
    core = lambda i: [10_000_000 + 30 * t + i, 10_000 + i, 20_000_000 + 10 * t + i, 300_000_000 + 58 * t, 400_000 + t, 0, 500_000 + t, 0, 0, 0]
    cores = [core(i) for i in range(args.cores)]
    rows = ["cpu  " + " ".join(map(str, map(sum, zip(*cores))))] + ["cpu%d " % i + " ".join(map(str, c)) for i, c in enumerate(cores)]
    # A line of interrupts has one number for each that the machine could have; most are 0.
    rows.append("intr %d" % (5_000_000_000 + 9000 * t) + " 0" * (200 + 20 * args.cores))
    rows += ["ctxt %d" % (50_000_000_000 + 20_000 * t), "btime 1794000000", "processes %d" % (20_000_000 + 50 * t), "procs_running 3", "procs_blocked 0",
             "softirq 7000000000 1 2 3 4 5 6 7 8 9 10"]
    return "\n".join(rows) + "\n"


def net_dev(t):
    head = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
    row = lambda n, i: "%6s: %d %d 0 %d 0 0 0 0 %d %d 0 0 0 0 0 0\n" % (n, 700_000_000_000 + 123_456 * t + i, 800_000_000 + 100 * t + i, 1000 + i, 600_000_000_000 + 65_432 * t + i, 500_000_000 + 90 * t + i)
    return head + row("lo", 0) + "".join(row("eth%d" % i, i) for i in range(args.interfaces))


def disk(i):
    name = ""
    while i >= 0:
        i, name = i // 26 - 1, chr(97 + i % 26) + name
    return "sd" + name


def diskstats(t):
    row = lambda i, n, p: "%4d %7d %s %d 0 %d %d %d 0 %d %d 0 %d %d 0 0 0 0 0 0\n" % (8, 16 * i + p, n, 20_000_000 + 40 * t, 900_000_000 + 3000 * t, 12_000_000 + 20 * t, 30_000_000 + 60 * t,
                                                                              1_500_000_000 + 5000 * t, 40_000_000 + 70 * t, 15_000_000 + 80 * t, 50_000_000 + 90 * t)
    return "".join(row(i, disk(i) + p, n) for i in range(args.disks) for n, p in enumerate(("", "1")))


def grow(t):
    put("proc/stat", stat(t))
    put("proc/1/net/dev", net_dev(t))
    put("proc/diskstats", diskstats(t))
    put("proc/vmstat", "nr_free_pages 12345678\n" * 150 + "".join("%s %d\n" % (name, 4_000_000_000 + 1000 * t) for name in ("pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault")))


put("proc/loadavg", "64.00 32.50 16.25 65/4096 1048576\n")
put("proc/filesystems", "nodev\tsysfs\nnodev\ttmpfs\n\text4\n\txfs\n")
put("proc/meminfo", "".join("%-16s%11d kB\n" % (name + ":", 527_000_000 // n) for n, name in enumerate(
    "MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive SwapTotal SwapFree Dirty Writeback Slab SReclaimable SUnreclaim".split(), 1)) + "HugePages_Total: 1024\nHugePages_Free: 512\nHugePages_Rsvd: 256\n")
put("proc/1/net/tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n")
put("proc/1/net/sockstat", "sockets: used 400\nTCP: inuse 0 orphan 0 tw 0 alloc 170 mem 20\nUDP: inuse 12 mem 3\n")
put("proc/1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n" + "".join("%d 1 8:%d / /data/%d rw,noatime shared:%d - xfs /dev/%s1 rw,attr2\n" % (i + 2, i, i, i, disk(i)) for i in range(args.mounts - 1)))
put("sys/class/hwmon/hwmon0/name", "k10temp\n")
put("sys/class/hwmon/hwmon0/temp1_input", "71500\n")
for i in range(args.mounts - 1):
    os.makedirs(os.path.join(root, "data/%d" % i), exist_ok=True)
for i in range(args.disks):
    os.makedirs(os.path.join(root, "sys/block", disk(i)), exist_ok=True)
    put("sys/class/block/%s1/partition" % disk(i), "1\n")
for i in range(args.cores):
    cpu = "sys/devices/system/cpu/cpu%d/" % i
    put(cpu + "cpufreq/scaling_cur_freq", "%d\n" % (2_000_000 + 1000 * i))
    put(cpu + "topology/physical_package_id", "0\n")
    put(cpu + "topology/core_id", "%d\n" % i)
collectors = "".join("[collectors.%s]\n" % name for name in ("cpu", "memory", "network", "disk"))
put("perfwatch.toml", '[agent]\ncollect = "named"\ninterval = "%gs"\nhost_root = "%s"\n%s[sinks.stdout]\ntype = "stdout"\nformat = "json"\n' % (args.interval or 1, root, collectors))
grow(0)
print("ready", flush=True)
t = 1
while args.interval and not select.select([sys.stdin], [], [], args.interval)[0]:
    grow(t)
    t += 1
