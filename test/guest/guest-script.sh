#!/bin/sh
# PID 1 of the test guest, under QEMU and under User-mode Linux alike (busybox ash).
#
# It tells the host what happens in lines that start with "GUEST ":
#   GUEST stage NAME [N]   GUEST fact NAME VALUE   GUEST mark NAME   GUEST ok NAME
#   GUEST FAILED NAME      GUEST end reboot|poweroff
#
# Parameters come on the kernel command line as key=value without a dot: the kernel puts those
# into the environment of PID 1.
#   vt_role      disk (format at first sight, verify afterwards) | readonly | rings | rng | net | net-bulk |
#                net-control | net-ethtool | net-recovery | vsock | vsock-test | vsock-bench | migrate | lifecycle | probe
#   vt_boots     the verify stage that powers off; those before it reboot
#   vt_fill_mib  how much to write into files
#   vt_part_mib  length of the partition; vt_raw_mib: where the area beyond it starts
#   vt_many      connections at a time (vsock)
#   vt_end       reboot | poweroff: how a stage ends that is not the last

: "${vt_role:=disk}" "${vt_boots:=1}" "${vt_fill_mib:=16}" "${vt_part_mib:=64}"
: "${vt_raw_mib:=72}" "${vt_end:=reboot}" "${vt_many:=100}"
disk=/dev/vda
part=/dev/vda1
files=/mnt/files
mib=1048576
# By its bare name ash would run busybox's own applet, which cannot write zeroes.
blkdiscard=/bin/blkdiscard
export PATH=/bin
umask 022

say() { echo "GUEST $*"; }

finish() {
  say "end $1"
  sync
  "$1" -f
  sleep 60
}

failed() {
  say "FAILED $*"
  dmesg | tail -n 20
  finish poweroff
}

# check NAME COMMAND...: silent when it works, everything it said when it does not.
check() {
  name=$1
  shift
  "$@" >/tmp/check.log 2>&1 || { cat /tmp/check.log; failed "$name"; }
  say "ok $name"
}

# refused NAME COMMAND...: the command must fail.
refused() {
  name=$1
  shift
  "$@" >/tmp/check.log 2>&1 && failed "$name: was not refused"
  say "ok $name"
}

wait_for() {
  tries=0
  until [ -b "$1" ]; do
    tries=$((tries + 1))
    [ "$tries" -gt 100 ] && failed "no $1"
    usleep 50000
  done
}

start_up() {
  mkdir -p /proc /sys /dev /tmp /mnt
  mount -t proc proc /proc
  mount -t sysfs sysfs /sys
  mount -t devtmpfs dev /dev 2>/dev/null
  mount -t tmpfs tmp /tmp
  while read -r module; do
    insmod "/modules/$module" || failed "insmod $module"
  done </modules/order
  say "ok boot"
}

attribute() { say "fact $1 $(cat "/sys/block/vda/$2" 2>/dev/null)"; }

report_disk() {
  wait_for "$disk"
  attribute serial serial
  attribute sectors size
  attribute block-size queue/logical_block_size
  attribute read-only ro
  attribute write-cache queue/write_cache
  attribute discard-max-bytes queue/discard_max_bytes
  attribute write-zeroes-max-bytes queue/write_zeroes_max_bytes
  # One character a bit, from bit 0: 34 is VIRTIO_F_RING_PACKED.
  say "fact packed $(cut -c 35 /sys/block/vda/device/features)"
  say "fact queues $(ls /sys/block/vda/mq | wc -l)"
  say "fact cpus $(nproc)"
}

make_partition() {
  block=$(cat /sys/block/vda/queue/logical_block_size)
  first=$((mib / block))
  last=$((first + vt_part_mib * mib / block - 1))
  printf 'o\nn\np\n1\n%s\n%s\nw\n' "$first" "$last" | fdisk -u -b "$block" "$disk"
  wait_for "$part"
  [ "$(cat /sys/block/vda/vda1/size)" = "$((vt_part_mib * 2048))" ]
}

drop_caches() {
  sync
  echo 3 >/proc/sys/vm/drop_caches
}

# One writer to a CPU: a CPU has a queue of its own, so every queue gets its share.
fill_one() {
  dir=$files/$2
  mkdir -p "$dir" &&
    taskset -c "$1" dd if=/dev/urandom of="$dir/random" bs=64k count="$3" &&
    taskset -c "$1" dd if=/dev/zero of="$dir/zero" bs=64k count="$(($3 / 3))" &&
    dmesg >"$dir/text" &&
    sync "$dir/random" "$dir/zero" "$dir/text" &&
    (cd "$dir" && sha256sum random zero text >list) && sync "$dir/list" && return 0
  touch /tmp/parallel-failed
}

# Written, synced and listed while the caches still hold what was meant to be written.
fill() {
  cpus=$(nproc)
  # 64 KiB units; random is three quarters, zero a quarter.
  units=$((vt_fill_mib * 12 / cpus))
  cpu=0
  rm -f /tmp/parallel-failed
  while [ "$cpu" -lt "$cpus" ]; do
    fill_one "$cpu" "$1-$cpu" "$units" &
    cpu=$((cpu + 1))
  done
  wait
  [ ! -e /tmp/parallel-failed ]
}

verify_one() {
  cd "$2" && taskset -c "$1" sha256sum -c list >"/tmp/verify-$1" 2>&1 && return 0
  cat "/tmp/verify-$1"
  touch /tmp/parallel-failed
}

verify() {
  cpus=$(nproc)
  cpu=0
  rm -f /tmp/parallel-failed
  for dir in "$files"/*; do
    verify_one "$((cpu % cpus))" "$dir" &
    cpu=$((cpu + 1))
  done
  wait
  [ "$cpu" -gt 0 ] && [ ! -e /tmp/parallel-failed ]
}

small_synced_writes() {
  count=0
  while [ "$count" -lt 20 ]; do
    dd if=/dev/urandom of="$files/../small" bs=4k count=1 seek="$count" conv=notrunc,fsync ||
      return 1
    count=$((count + 1))
  done
}

read_raw() { dd if="$disk" bs=1M skip="$(($1 + vt_raw_mib))" count=1 iflag=direct 2>/dev/null; }
sha_of() { sha256sum | cut -d ' ' -f 1; }

# Four raw MiB beyond the partition: kept, discarded, zeroed, kept. The host compares the two kept
# ones and the zeroed one with the image file.
raw_area() {
  dd if=/dev/urandom of="$disk" bs=1M seek="$vt_raw_mib" count=4 conv=fsync || return 1
  drop_caches
  kept=$(read_raw 0 | sha_of)
  tail=$(read_raw 3 | sha_of)
  if [ "$(cat /sys/block/vda/queue/discard_max_bytes)" -gt 0 ]; then
    "$blkdiscard" -f -o "$(((vt_raw_mib + 1) * mib))" -l "$mib" "$disk" || return 1
  fi
  "$blkdiscard" -f -z -o "$(((vt_raw_mib + 2) * mib))" -l "$mib" "$disk" || return 1
  drop_caches
  [ "$(read_raw 0 | sha_of)" = "$kept" ] && [ "$(read_raw 3 | sha_of)" = "$tail" ] || return 1
  [ "$(read_raw 2 | sha_of)" = "$(dd if=/dev/zero bs=1M count=1 2>/dev/null | sha_of)" ]
}

trim() {
  [ "$(cat /sys/block/vda/queue/discard_max_bytes)" = 0 ] || fstrim -v /mnt
}

format_stage() {
  say "stage format"
  check partition make_partition
  check mkfs mkfs.ext4 -q -F -E nodiscard "$part"
  check mount mount -t ext4 "$part" /mnt
  say "mark io"
  check fill fill boot-0
  drop_caches
  check checksums verify
  check small-synced-writes small_synced_writes
  check trim trim
  echo 0 >/mnt/boots
  check unmount umount /mnt
  # After the unmount, when nothing but this test writes.
  check raw-area raw_area
  say "fact raw-sha256-first $kept"
  say "fact raw-sha256-last $tail"
}

verify_stage() {
  check mount mount -t ext4 "$part" /mnt
  stage=$(($(cat /mnt/boots) + 1))
  say "stage verify $stage"
  check checksums verify
  say "fact files $(find /mnt/files -type f | wc -l)"
  vt_fill_mib=$(((vt_fill_mib + 3) / 4))
  check fill fill "boot-$stage"
  check small-synced-writes small_synced_writes
  echo "$stage" >/mnt/boots
  check unmount umount /mnt
  check fsck e2fsck -f -n "$part"
  [ "$stage" -ge "$vt_boots" ] && vt_end=poweroff
}

readonly_stage() {
  say "stage readonly"
  vt_end=poweroff
  [ "$(cat /sys/block/vda/ro)" = 1 ] || failed "disk is not read-only"
  check mount mount -t ext4 -o ro "$part" /mnt
  check checksums verify
  check unmount umount /mnt
  refused write-refused dd if=/dev/zero of="$disk" bs=4k count=1 conv=fsync
  refused discard-refused "$blkdiscard" -f -o "$((vt_raw_mib * mib))" -l "$mib" "$disk"
}

# Every disk, named by its serial number: what the driver took of the ring features (a character a bit:
# 28 indirect descriptors, 29 event index, 34 packed), then large and small requests.
ring_disk() {
  dd if=/tmp/random of="/dev/$1" bs=64k &&
    dd if=/tmp/random of="/dev/$1" bs=512 seek=4096 count=64 oflag=direct &&
    drop_caches &&
    dd if="/dev/$1" bs=4k count=256 | cmp - /tmp/random &&
    dd if="/dev/$1" bs=512 skip=4096 count=64 iflag=direct >/tmp/part &&
    head -c 32768 /tmp/random | cmp - /tmp/part
}

rings_stage() {
  wait_for "$disk"
  dd if=/dev/urandom of=/tmp/random bs=64k count=16 2>/dev/null
  for path in /sys/block/vd*; do
    serial=$(cat "$path/serial")
    say "fact features $serial $(cut -c 29,30,35 "$path/device/features")"
    check "disk $serial" ring_disk "${path##*/}"
  done
}

rng_stage() {
  say "fact rng $(cat /sys/class/misc/hw_random/rng_current)"
  for _ in 1 2; do
    say "fact random $(dd if=/dev/hwrng bs=32 count=1 2>/dev/null | od -An -tx1 | tr -d ' \n')"
  done
}

fill_sets() {
  for set in 0 1 2 3; do
    fill "set-$set" || return 1
  done
}

# A round: a set of files is read from the disk, and something new written. The pages held another
# set before, and no CPU has written to them since: if the device's writes are not logged, the old
# set is what comes over.
migrate_round() {
  drop_caches
  rm -f /tmp/parallel-failed
  for dir in "$files/set-$(($1 % 4))"-*; do
    (verify_one 0 "$dir")
  done
  [ ! -e /tmp/parallel-failed ] || return 1
  dd if=/dev/urandom of="$files/../round" bs=64k count=8 conv=fsync
}

# The serial tells which daemon serves the disk: it is asked for each time.
migrate_stage() {
  say "stage migrate"
  vt_end=poweroff
  check partition make_partition
  check mkfs mkfs.ext4 -q -F -E nodiscard "$part"
  check mount mount -t ext4 "$part" /mnt
  check fill fill_sets
  round=0
  until [ "$(cat /sys/block/vda/serial)" = moved ]; do
    round=$((round + 1))
    check "round $round" migrate_round "$round"
  done
  say "mark moved"
  # First what has come over in memory, then what is on the disk.
  check cached-checksums verify
  drop_caches
  check checksums verify
  check small-synced-writes small_synced_writes
  check unmount umount /mnt
  check fsck e2fsck -f -n "$part"
}

# soon COMMAND...: it works within ten seconds.
soon() {
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ "$tries" -gt 200 ] && return 1
    usleep 50000
  done
}

disk_gone() { [ ! -e /sys/block/vda ] && [ ! -e "$disk" ]; }
disk_here() { [ -b "$part" ]; }

# Unbound, the driver resets the device; bound again, it starts from the beginning.
rebind() {
  driver=/sys/bus/virtio/drivers/virtio_blk
  device=$(basename "$(readlink -f /sys/block/vda/device)")
  echo "$device" >$driver/unbind && disk_gone && echo "$device" >$driver/bind && soon disk_here
}

# A disk that is new to the kernel has the old files, takes another, and keeps it.
use_again() {
  mount -t ext4 "$part" /mnt && verify && fill "$1" && drop_caches && verify && umount /mnt
}

# What was plugged is online_movable and so makes up this zone, alone.
movable() {
  awk -v name="$1" '/^Node/ { here = $4 == "Movable" } here && $1 == name { print $2 }' \
    /proc/zoneinfo
}

# rounds_until NAME PAGES: rounds of checked I/O until the plugged memory has so many pages.
rounds_until() {
  rounds=0
  until [ "$(movable present)" = "$2" ]; do
    rounds=$((rounds + 1))
    [ "$rounds" -gt 50 ] && failed "$1: $(movable present) pages, not $2"
    check "$1 round $rounds" migrate_round "$rounds"
  done
  say "mark $1"
}

# Files are cached in the movable zone where there is one: the disk writes into its pages.
cached_in_plugged() {
  drop_caches
  verify || return 1
  cached=$(($(movable nr_zone_inactive_file) + $(movable nr_zone_active_file)))
}

# At each "mark", the host does what it says.
lifecycle_stage() {
  say "stage lifecycle"
  vt_end=poweroff
  check partition make_partition
  check mkfs mkfs.ext4 -q -F -E nodiscard "$part"
  check mount mount -t ext4 "$part" /mnt
  check fill fill_sets
  check unmount umount /mnt
  say "mark rebind"
  check rebind rebind
  check rebind-again rebind
  say "mark rebound"
  check use-after-rebind use_again rebind
  for plug in 1 2; do
    say "mark unplug $plug"
    check "unplugged $plug" soon disk_gone
    say "mark plug $plug"
    check "plugged $plug" soon disk_here
    check "use-after-plug $plug" use_again "plug-$plug"
  done
  memory_stage
  check unmount umount /mnt
  check fsck e2fsck -f -n "$part"
  check raw-area raw_area
  say "fact raw-sha256-first $kept"
  say "fact raw-sha256-last $tail"
}

memory_stage() {
  echo online_movable >/sys/devices/system/memory/auto_online_blocks
  check mount mount -t ext4 "$part" /mnt
  pages=$((vt_dimm_mib * mib / 4096))
  say "mark plug-memory"
  rounds_until half-plugged "$pages"
  rounds_until plugged "$((2 * pages))"
  check fill-from-plugged fill memory
  check cached-in-plugged cached_in_plugged
  say "fact cached-in-plugged-pages $cached"
  say "mark unplug-memory"
  rounds_until half-unplugged "$pages"
  rounds_until plugged-again "$((2 * pages))"
  drop_caches
  check checksums verify
}

# One character a bit, from bit 0: 34 is VIRTIO_F_RING_PACKED.
packed_card() { say "fact packed $(cut -c 35 /sys/class/net/eth0/device/features)"; }

# More than there is memory for: the same random bytes again and again, vt_net_mib in all.
net_part_mib=8
up() {
  parts=$((vt_net_mib / net_part_mib))
  while [ "$parts" -gt 0 ]; do
    cat /tmp/up
    parts=$((parts - 1))
  done
}

# The host's end answers pings, gives bytes over HTTP whose sum it knows, and sums what it is sent.
net_stage() {
  say "stage net"
  check link ip link set eth0 mtu "$vt_mtu" up
  check address ip addr add "$vt_guest_ip/24" dev eth0
  say "fact queues $(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
  packed_card
  check ping ping -c 3 -W 5 "$vt_host_ip"
  check large-ping ping -c 3 -W 5 -s 8000 "$vt_host_ip"
  say "fact down $(wget -q -O - "http://$vt_host_ip:$vt_port/" | sha_of)"
  dd if=/dev/urandom of=/tmp/up bs=1M count="$net_part_mib" 2>/dev/null
  say "fact up $(up | sha_of)"
  say "fact up-received $(up | nc "$vt_host_ip" "$((vt_port + 1))")"
  say "mark traffic"
  # Both ways at once.
  wget -q -O - "http://$vt_host_ip:$vt_port/" | sha_of >/tmp/down-sum &
  say "fact up-received-again $(up | nc "$vt_host_ip" "$((vt_port + 1))")"
  wait
  say "fact down-again $(cat /tmp/down-sum)"
  errors=$(cat /sys/class/net/eth0/statistics/rx_errors)
  say "fact errors $((errors + $(cat /sys/class/net/eth0/statistics/tx_errors)))"
}

# Two cards by turns, vt_rounds times, as fast as they go: the host gives until it has enough, then takes
# vt_net_mib. For bench/net.
net_bulk_stage() {
  say "stage net-bulk"
  for card in 0 1; do
    check link ip link set "eth$card" mtu "$vt_mtu" up
    check address ip addr add "10.254.$((vt_subnet + card)).2/24" dev "eth$card"
    check ping ping -c 1 -W 5 "10.254.$((vt_subnet + card)).1"
  done
  round=0
  while [ "$round" -lt "$vt_rounds" ]; do
    for turn in 0 1; do
      host=10.254.$((vt_subnet + (round + turn) % 2)).1
      tcp-bulk take "$host" "$vt_port"
      tcp-bulk give "$host" "$((vt_port + 1))" "$vt_net_mib"
    done
    round=$((round + 1))
  done
}

received() { cat "/sys/class/net/$1/statistics/rx_packets"; }

# comes NAME INTERFACE: frames arrive there, within ten seconds.
comes() {
  before=$(received "$2")
  tries=0
  until [ "$(received "$2")" -gt "$((before + 3))" ]; do
    tries=$((tries + 1))
    [ "$tries" -gt 100 ] && failed "$1: nothing came"
    usleep 100000
  done
  say "ok $1"
}

# silent NAME INTERFACE: none does, in a time in which dozens are sent.
silent() {
  usleep 200000
  before=$(received "$2")
  usleep 500000
  [ "$(received "$2")" = "$before" ] || failed "$1: $(($(received "$2") - before)) frames"
  say "ok $1"
}

# Somebody sends frames to a stranger, and frames of VLAN 5 to us, all the time.
net_control_stage() {
  say "stage net-control"
  packed_card
  check mac ip link set eth0 address "$vt_mac"
  check link ip link set eth0 mtu "$vt_mtu" up
  silent quiet eth0
  check promisc-on ip link set eth0 promisc on
  comes promisc eth0
  check promisc-off ip link set eth0 promisc off
  silent quiet-again eth0
  check vlan-add ip link add link eth0 name eth0.5 type vlan id 5
  check vlan-up ip link set eth0.5 up
  comes vlan eth0.5
  check vlan-del ip link del eth0.5
  silent no-vlan eth0
}

# Pings for ever; the host ends it.
net_recovery_stage() {
  say "stage net-recovery"
  check link ip link set eth0 up
  check address ip addr add "$vt_guest_ip/24" dev eth0
  while true; do
    ping -q -c 1 -W 1 "$vt_host_ip" >/dev/null 2>&1 && say pong
    usleep 100000
  done
}

# Values of a setting, as ethtool prints them.
setting() { ethtool "$1" eth0 | sed -n "s/^[[:space:]]*$2:[[:space:]]*\\([^[:space:]]*\\).*/\\1/p" | tr '\n' ' '; }

ethtool_stage() {
  say "fact driver $(setting -i driver)"
  say "fact speed $(ethtool eth0 | sed -n 's/.*Speed: //p')"
  say "fact channels $(setting -l Combined)"
  if [ "$vt_pairs" -gt 1 ]; then
    check channels ethtool -L eth0 combined 1
    say "fact channels-now $(setting -l Combined)"
    check channels-back ethtool -L eth0 combined "$vt_pairs"
  fi
  for feature in $(echo "$vt_offloads" | tr , " "); do
    say "fact $feature $(setting -k "$feature")"
    check "$feature-off" ethtool -K eth0 "$feature" off
    say "fact $feature-now $(setting -k "$feature")"
    check "$feature-on" ethtool -K eth0 "$feature" on
  done
  if [ "$vt_coalesce" = yes ]; then
    check coalesce ethtool -C eth0 rx-usecs 50 rx-frames 8 tx-usecs 60 tx-frames 9
    say "fact coalesce $(setting -c rx-usecs)$(setting -c rx-frames)$(setting -c tx-usecs)$(setting -c tx-frames)"
  fi
}

start_up
case $vt_role in
  vsock) . /vsock-stage.sh; vsock_stage; finish "$vt_end" ;;
  vsock-bench) . /vsock-stage.sh; vsock_bench_stage; finish poweroff ;;
  vsock-test) . /vsock-stage.sh; linux_test_stage; finish poweroff ;;
  net) net_stage; finish poweroff ;;
  switch) . /net-stages.sh; switch_stage; finish poweroff ;;
  passt) . /net-stages.sh; passt_stage; finish poweroff ;;
  net-bulk) net_bulk_stage; finish poweroff ;;
  net-recovery) net_recovery_stage ;;
  net-control) net_control_stage; ethtool_stage; finish poweroff ;;
  net-ethtool) say "stage net-ethtool"; check link ip link set eth0 up; ethtool_stage; finish poweroff ;;
  probe) finish poweroff ;;
  rings) rings_stage; finish poweroff ;;
  rng) rng_stage; finish poweroff ;;
esac
report_disk
if [ "$vt_role" = readonly ]; then
  readonly_stage
elif [ "$vt_role" = migrate ]; then
  migrate_stage
elif [ "$vt_role" = lifecycle ]; then
  lifecycle_stage
elif [ -b "$part" ]; then
  verify_stage
else
  format_stage
fi
finish "$vt_end"
