# What a guest does with its vsock; the guest script reads this file in. The host's ports: 1000 sums,
# 1001 echoes, 1002 says what comes next, 1003 waits, 1004 echoes through socat, 1005 takes messages.

# socat PORT ADDRESS...: serves this port of ours with what the address names.
serve() {
  socat -d -d -t 30 "VSOCK-LISTEN:$1,reuseaddr,fork" "$2" 2>"/tmp/serve-$1" &
  check "serves-$1" soon grep -q 'listening on' "/tmp/serve-$1"
}

# Commands of the guest's that the host's people use every day, on both ends.
socat_stage() {
  head -c 300000 /dev/urandom >/tmp/said
  socat -t 30 - VSOCK-CONNECT:2:1004 </tmp/said >/tmp/back || failed socat
  check socat cmp /tmp/said /tmp/back
  mkdir -p /dev/pts /www && mount -t devpts pts /dev/pts
  cp /tmp/said /www/said
  say "fact said $(sha_of </www/said)"
  serve 3000 EXEC:cat
  serve 3001 'EXEC:sh,pty,setsid,ctty,stderr'
  serve 3002 'EXEC:httpd -i -h /www'
  say "mark socat"
}

# As many MiB as wanted, each the same: emulated, a random number generator is slower than the device.
mebibytes() {
  count=0
  while [ "$count" -lt "$vt_fill_mib" ]; do
    cat /tmp/mebibyte
    count=$((count + 1))
  done
}

streams_stage() {
  head -c "$mib" /dev/urandom >/tmp/mebibyte
  say "fact sent $(mebibytes | sha_of)"
  mebibytes | vsock-peer connect 1000 >/tmp/answer || failed guest-to-host
  say "fact answer $(cat /tmp/answer)"
  say "fact received $(vsock-peer listen 2000 </dev/null | sha256sum | cut -c1-64)"
  say "fact messages $(vsock-peer messages 2001)"
  say "fact said-messages $(vsock-peer say 1005 1 300 4096 65000 100000 9)"
}

many_stage() {
  check many vsock-peer many 1001 "$vt_many"
  vsock-peer echo 2002 "$vt_many" || failed many-from-host
  say "ok many-from-host"
  check echo sh -c 'echo hello | vsock-peer connect 1001 | grep -q "^hello$"'
  refused nobody-there vsock-peer connect 999
}

# One character a bit, from bit 0: 34 is VIRTIO_F_RING_PACKED.
vsock_features() {
  for device in /sys/bus/virtio/devices/*; do
    [ "$(cat "$device/device")" = 0x0013 ] && cat "$device/features"
  done
}

vsock_stage() {
  say "fact cid $(vsock-peer cid)"
  say "fact packed $(vsock_features | cut -c 35)"
  streams_stage
  many_stage
  # Left open on purpose: what becomes of it when the guest starts again is the host's to see.
  sleep 1000 | vsock-peer connect 1003 &
  # The host says a word when it has done what it wants.
  while :; do
    word=$(vsock-peer connect 1002 </dev/null 2>/dev/null)
    case $word in
      socat) socat_stage ;;
      # The host's daemon starts again, and the device with it.
      '') sleep 1 ;;
      *) vt_end=$word; return ;;
    esac
  done
}

# Whether something listens on this TCP port.
listens() { grep -q ":$(printf %04X "$1") 00000000:0000 0A" /proc/net/tcp; }

# Linux's own test program, a test at a time. At the host's port 1002 it is said the role, the port of
# the control channel and which tests to skip, until it has had enough.
#   vt_peer_ip, vt_peer_cid   the other end: the host, or another guest
linux_test_stage() {
  check link ip link set eth0 up
  check address ip addr add "$vt_guest_ip/24" dev eth0
  while :; do
    vsock-peer connect 1002 </dev/null >/tmp/word || failed "no word of the host's"
    read -r mode port skip </tmp/word || failed "an empty word of the host's"
    [ "$mode" = poweroff ] && return
    control=$vt_peer_ip
    [ "$mode" = server ] && control=0.0.0.0
    # shellcheck disable=SC2086
    vsock_test --mode="$mode" --control-host=$control --control-port="$port" \
      --peer-cid="${vt_peer_cid:-2}" $skip >/tmp/test.log 2>&1 &
    if [ "$mode" = server ]; then
      check serves soon listens "$port"
      say "mark serves"
    fi
    wait $!
    say "result $? $(tail -n 1 /tmp/test.log)"
  done
}

# For bench/vsock: vt_work (give | take | ping) with the host's port vt_port for vt_ms.
vsock_bench_stage() {
  say "mark begins"
  said=$(vsock-peer "$vt_work" "$vt_port" "$vt_ms") || failed "$vt_work"
  say "fact sample $said"
  say "mark measured"
}
