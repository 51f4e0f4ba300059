# Stages of guests at a switch, and of one behind passt; read by guest-script.sh.
#   vt_vlan   tag this guest puts on its frames (0: none)
#   vt_serves 1: waits for the other guest instead of looking for it
#   vt_other_vlan: the other VLAN; vt_other_own: our address there
#   vt_peer_ip, vt_other_ip: the other guest in our VLAN, and in one that is not ours

answers() { ping -c 1 -W 2 "$1"; }

until_answers() {
  tries=0
  until answers "$1" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -gt 60 ] && return 1
    usleep 500000
  done
}

switch_stage() {
  say "stage switch"
  check link ip link set eth0 up
  card=eth0
  if [ "$vt_vlan" != 0 ]; then
    for vlan in "$vt_vlan" "$vt_other_vlan"; do
      check "vlan $vlan" ip link add link eth0 name "eth0.$vlan" type vlan id "$vlan"
      check "up $vlan" ip link set "eth0.$vlan" up
    done
    check other-address ip addr add "$vt_other_ip/24" dev "eth0.$vt_other_vlan"
    card=eth0.$vt_vlan
  else
    check other-address ip addr add "$vt_other_own/24" dev eth0
  fi
  check address ip addr add "$vt_guest_ip/24" dev "$card"
  mkdir -p /tmp/www
  dd if=/dev/urandom of=/tmp/www/file bs=1M count="$vt_net_mib" 2>/dev/null
  say "fact own-sum $(sha_of </tmp/www/file)"
  if [ "$vt_serves" = 1 ]; then
    httpd -p 80 -h /tmp/www
    say "mark serving"
    say "fact received $(nc -l -p 81 | sha_of)"
    finish poweroff
  fi
  check peer until_answers "$vt_peer_ip"
  check large-ping ping -c 3 -W 5 -s 8000 "$vt_peer_ip"
  refused other-vlan answers "$vt_other_ip"
  say "fact down $(wget -q -O - "http://$vt_peer_ip/file" | sha_of)"
  nc "$vt_peer_ip" 81 </tmp/www/file
  errors=$(cat /sys/class/net/eth0/statistics/rx_errors)
  say "fact errors $((errors + $(cat /sys/class/net/eth0/statistics/tx_errors)))"
}

# Both ways in one connection: the passt of Debian 12 was seen to leave the SYN of a second one
# unanswered.
passt_stage() {
  say "stage passt"
  check link ip link set eth0 up
  check address ip addr add "$vt_guest_ip/24" dev eth0
  check route ip route add default via "$vt_gateway"
  tr -dc a-z </dev/urandom | dd bs=1M iflag=fullblock count="$vt_net_mib" of=/tmp/up 2>/dev/null
  say "fact up $(sha_of </tmp/up)"
  say "fact down $(wget -q -O - --post-file=/tmp/up "http://$vt_gateway:$vt_port/" | sha_of)"
}
