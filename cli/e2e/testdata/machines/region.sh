# Machines of a page's reader: namespaces in which systemd is process 1 over a
# copy of this machine's root that is written to memory. It is process 1 of a pid
# namespace: when it is killed, everything is.
# usage: region.sh FOLDER CGROUP NAME=ADDRESS…
set -e
folder=$1 cgroup=$2
shift 2
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs "$folder"
ip link set lo up
ip link add br0 type bridge
ip link set br0 up
ip address add 10.0.0.1/16 dev br0
for machine; do
	name=${machine%%=*} address=${machine#*=}
	ip netns add "$name"
	ip link add "v$name" type veth peer name eth0 netns "$name"
	ip link set "v$name" up master br0
	ip -n "$name" link set lo up
	ip -n "$name" address add "$address/16" dev eth0
	ip -n "$name" link set eth0 up
	mkdir "$cgroup/$address"
	(
		echo $BASHPID >"$cgroup/$address/cgroup.procs"
		# A machine whose init is killed has lost its power, and boots again.
		while :; do
			nsenter --net="/run/netns/$name" unshare --mount --uts --ipc --pid --cgroup --fork --kill-child \
				sh "$(dirname "$0")/machine.sh" "$folder/$name" "$name" || true
		done
	) &
done
wait
