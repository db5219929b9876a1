#!/bin/sh
# The power supply of one host: what its BMC's buttons are wired to, and what `lab cut` calls.
#
#   chassis.sh LAB_DIR LAB HOST get power|boot
#   chassis.sh LAB_DIR LAB HOST set power|reset|boot|identify|shutdown VALUE
#   chassis.sh LAB_DIR LAB HOST cut            as `set power 0`, but heeds no lying BMC
#   chassis.sh LAB_DIR LAB HOST watchdog       as `set reset 1`, likewise
#
# The BMC runs this synchronously and reads it to its end, and it is polled: therefore sh, and
# `get power` only reads one file. A power cut answers only after the host is really dead.

lab_dir=$1 lab=$2 host=$3 verb=$4 what=$5 value=$6
dir=$lab_dir/hosts/$host
fabric=wardom-lab.$lab.fabric
netns=wardom-lab.$lab.$host
power=0
mode=up
if_off=0
read -r power < "$dir/power"
[ -r "$dir/bmc-mode" ] && read -r mode < "$dir/bmc-mode"

note() {
    printf '{"t_ms":%s,"event":"%s","host":"%s"}\n' "$(date +%s%3N)" "$1" "$host" \
        >> "$lab_dir/flight.jsonl"
}

# A subshell: the lock must not pass on to the host that `reset` starts next.
power_cut() (
    exec 9> "$dir/lock"
    flock 9
    read -r power < "$dir/power"
    [ "$power" = 0 ] && exit "$if_off"
    note "power cut"
    # First the cables, then the processes: a dying process's kernel sends FIN and buffered bytes,
    # a host without power sends nothing.
    printf 'link set dev %s-mgmt down\nlink set dev %s-storage down\n' "$host" "$host" |
        ip -n "$fabric" -force -batch -
    note "cables down"
    if read -r pid namespace < "$dir/pid" &&
        [ "$(readlink "/proc/$pid/ns/pid")" = "$namespace" ]; then
        kill -9 "$pid"
        # Gone means that nothing of the host is left: the kernel ends a PID namespace's first
        # process last.
        while kill -0 "$pid" 2> /dev/null; do sleep 0.005; done
    fi
    echo 0 > "$dir/power"
    rm -f "$dir/pid" "$dir/hung"
    note "host dead"
    # Its sockets would otherwise go on retransmitting into a cable that may come up again.
    ip -n "$fabric" link del "$host-mgmt"
    ip -n "$fabric" link del "$host-storage"
    ip netns del "$netns"
    exit 0
) > /dev/null 2>&1

power_on() {
    [ "$power" = 1 ] && return 0
    echo 1 > "$dir/power"
    note "power on"
    setsid -f /usr/bin/python3 -I "$lab_dir/code/lab" --name "$lab" _boot "$host" \
        < /dev/null >> "$dir/log/boot.log" 2>&1
}

case "$verb $what" in
"get power") if [ "$mode" = lie ]; then echo power:0; else echo "power:$power"; fi ;;
"get boot") echo boot:default ;;
"set power" | "set reset" | "set shutdown")
    [ "$mode" = lie ] && exit 0
    case "$what $value" in
    "power 0" | "shutdown "*) power_cut ;;
    "power 1") power_on ;;
    "reset "*) power_cut && power=0 && power_on ;;
    esac
    ;;
"set boot" | "set identify") ;;
"cut "*) power_cut ;;
# Without power there is no watchdog either: one that fires while the power is being cut does nothing.
"watchdog "*) if_off=1; if power_cut; then power=0; power_on; fi ;;
*) exit 1 ;;
esac
