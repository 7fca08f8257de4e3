#!/bin/sh
# Makes `big/`: 64 cores of one processor, 24 disks with two partitions each, 100 mounts, one of which hangs.
# The numbers follow from the place in the list, so that a test can say what it expects.
# usage: tests/hosts/big.sh   (from anywhere; writes beside itself)
set -eu
cd "$(dirname "$0")"
mkdir -p big/proc/1/net big/etc big/sys/class/hwmon/hwmon0
echo rack-7-12 > big/etc/hostname
echo "64.00 32.50 16.25 65/4096 1048576" > big/proc/loadavg
echo "1000000.00 60000000.00" > big/proc/uptime
{
    awk 'BEGIN { for (i = 0; i < 64; i++) { u += 1000 * i; d += 1000000 - 1000 * i } print "cpu ", u, 64, 640, d, 0, 0, 6400, 0, 0, 0 }'
    awk 'BEGIN { for (i = 0; i < 64; i++) print "cpu" i, 1000 * i, 1, 10, 1000000 - 1000 * i, 0, 0, 100, 0, 0, 0 }'
    awk 'BEGIN { printf "intr 5000000000"; for (i = 0; i < 600; i++) printf " %d", i % 3 ? 0 : i * 11; print "" }'
    printf 'ctxt 12345678901\nbtime 1794000000\nprocesses 99999999\nprocs_running 65\nprocs_blocked 1\nsoftirq 777 1 2 3 4 5 6 7 8 9 10\n'
} > big/proc/stat
awk 'BEGIN { for (i = 0; i < 64; i++) print i, 2000000 + 10000 * i }' | while read -r core khz; do
    mkdir -p "big/sys/devices/system/cpu/cpu$core/cpufreq"
    echo "$khz" > "big/sys/devices/system/cpu/cpu$core/cpufreq/scaling_cur_freq"
done
echo k10temp > big/sys/class/hwmon/hwmon0/name
echo Tctl > big/sys/class/hwmon/hwmon0/temp1_label
echo 71500 > big/sys/class/hwmon/hwmon0/temp1_input
{
    printf 'MemTotal:       527000000 kB\nMemFree:        100000000 kB\nMemAvailable:   400000000 kB\nBuffers:         1000000 kB\nCached:         300000000 kB\n'
    printf 'SwapCached:            0 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\nDirty:            204800 kB\nShmem:           5000000 kB\n'
    printf 'Slab:           20000000 kB\nSReclaimable:   15000000 kB\nSUnreclaim:      5000000 kB\nHugePages_Total:    1024\nHugePages_Free:      512\nHugePages_Rsvd:      256\nHugepagesize:       2048 kB\n'
} > big/proc/meminfo
printf 'pgpgin 111111111\npgpgout 222222222\npswpin 0\npswpout 0\npgfault 333333333333\npgmajfault 44444\n' > big/proc/vmstat
# 16 disks behind SCSI, 8 of NVMe. There is no sys/block: names alone tell disks from partitions here.
awk 'BEGIN {
    for (i = 0; i < 24; i++) {
        name = i < 16 ? sprintf("sd%c", 97 + i) : sprintf("nvme%dn1", i - 16)
        part = i < 16 ? name : name "p"
        for (p = 0; p < 3; p++)
            printf "%4d %7d %s %d 0 %d %d %d 0 %d %d 0 %d %d 0 0 0 0 %d 7\n", i < 16 ? 8 : 259, i * 16 + p,
                p ? part p : name, 1000 * (i + 1), 8000 * (i + 1), 500 * (i + 1), 2000 * (i + 1), 16000 * (i + 1), 1000 * (i + 1), 700 * (i + 1), 1500 * (i + 1), i
    }
}' > big/proc/diskstats
printf 'nodev\tsysfs\nnodev\tproc\nnodev\ttmpfs\nnodev\toverlay\nnodev\tnfs4\nnodev\tzfs\n\text4\n\txfs\n\tvfat\n' > big/proc/filesystems
# /, /boot, 46 data disks of two partitions, 10 zfs file systems of which /tank/3 hangs, 40 containers, one server, one tmpfs.
{
    echo "1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw"
    echo "2 1 8:2 / /boot rw - vfat /dev/sda2 rw"
    awk 'BEGIN { for (i = 0; i < 46; i++) printf "%d 1 %d:%d / /data/%d rw - xfs /dev/data%d rw\n", 10 + i, 259, i, i, i }'
    awk 'BEGIN { for (i = 0; i < 10; i++) printf "%d 1 0:%d / /tank/%d rw - zfs tank/%d rw\n", 100 + i, 100 + i, i, i }'
    awk 'BEGIN { for (i = 0; i < 40; i++) printf "%d 1 0:%d / /var/lib/containers/%d/merged rw - overlay overlay rw,lowerdir=/l/%d\n", 200 + i, 200 + i, i, i }'
    echo "300 1 0:300 / /home rw - nfs4 filer:/home rw"
    echo "301 1 0:301 / /run rw - tmpfs tmpfs rw"
} > big/proc/1/mountinfo
{
    space() { printf '["%s"]\ntotal_bytes = %s\nfree_bytes = %s\navailable_bytes = %s\ninodes_total = 1000000\ninodes_free = 900000\n\n' "$1" "$2" "$3" "$3"; }
    space / 100000000000 40000000000
    space /boot 500000000 400000000
    i=0; while [ $i -lt 46 ]; do space "/data/$i" 1000000000000 $((20000000000 * i)); i=$((i + 1)); done
    i=0; while [ $i -lt 10 ]; do [ $i -eq 3 ] || space "/tank/$i" 10000000000 $((1000000000 * i)); i=$((i + 1)); done
    printf '["/tank/3"]\nhangs = true\n\n["/home"]\nhangs = true\n'
} > big/statvfs.toml
# 8 ports in a bond, and 40 containers, which are not asked for by default. Bytes pass 2^32 from eth4 on.
{
    printf 'Inter-|   Receive                                                |  Transmit\n'
    printf ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n'
    echo '    lo: 999 9 0 0 0 0 0 0 999 9 0 0 0 0 0 0'
    awk 'BEGIN {
        for (i = 0; i < 8; i++) printf "  eth%d: %d %d %d %d 0 0 0 0 %d %d 0 0 0 0 0 0\n", i, 1000000000 * (i + 1), 1000000 * (i + 1), i, 10 * i, 500000000 * (i + 1), 500000 * (i + 1)
        print " bond0: 36000000000 36000000 28 280 0 0 0 0 18000000000 18000000 0 0 0 0 0 0"
        for (i = 0; i < 40; i++) printf "veth%d: %d 1 0 0 0 0 0 0 %d 1 0 0 0 0 0 0\n", i, i, i
    }'
} > big/proc/1/net/dev
# 10 listen, 150 are established, 40 are in TIME_WAIT; over IPv6 5 listen.
{
    echo '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode'
    awk 'BEGIN { for (i = 0; i < 200; i++) printf "%4d: 0100000A:%04X %s %s 00000000:00000000 00:00000000 00000000     0        0 %d 1\n", i, 8000 + i, i < 10 ? "00000000:0000" : "0200000A:C0DE", i < 10 ? "0A" : i < 160 ? "01" : "06", 20000 + i }'
} > big/proc/1/net/tcp
{
    echo '  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode'
    awk 'BEGIN { for (i = 0; i < 5; i++) printf "%4d: 00000000000000000000000000000000:%04X 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 %d 1\n", i, 8000 + i, 30000 + i }'
} > big/proc/1/net/tcp6
printf 'sockets: used 400\nTCP: inuse 160 orphan 0 tw 40 alloc 170 mem 20\nUDP: inuse 12 mem 3\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n' > big/proc/1/net/sockstat
printf 'TCP6: inuse 5\nUDP6: inuse 6\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n' > big/proc/1/net/sockstat6
