# One machine of region.sh: its mounts, then its init.
set -e
folder=$1 name=$2
mount --make-rprivate /
hostname "$name"
mkdir -p "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
cd "$folder/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
umount -l sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 sys/fs/cgroup
for dir in run tmp dev var/tmp; do
	mount -t tmpfs -o mode=0755 tmpfs $dir
done
chmod 1777 tmp var/tmp
mkdir dev/pts dev/shm dev/net
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for node in null,1,3 zero,1,5 full,1,7 random,1,8 urandom,1,9 tty,5,0 net/tun,10,200; do
	(IFS=,; set -- $node; mknod -m 0666 "dev/$1" c "$2" "$3")
done
touch dev/kmsg dev/console
mount --bind /dev/null dev/kmsg
mount --bind /dev/null dev/console
mount --bind proc/sys proc/sys
# Each boot is one of its own, though the kernel is the same.
cat proc/sys/kernel/random/uuid >run/boot_id
mount --bind run/boot_id proc/sys/kernel/random/boot_id
mount -o remount,bind,ro proc/sys
mkdir -p mnt/old
if [ ! -e etc/new ]; then
	# A system of which nobody has changed anything, with one unit of its owner's.
	rm -rf etc/systemd/system etc/squall var/lib/squall usr/sbin/policy-rc.d var/lib/man-db/auto-update
	mkdir -p etc/systemd/system/multi-user.target.wants
	ln -s /dev/null etc/systemd/system/console-getty.service
	printf '[Service]\nExecStart=/bin/sleep 100000\nRestart=always\n' >etc/systemd/system/web.service
	ln -s ../web.service etc/systemd/system/multi-user.target.wants/
	: >etc/machine-id
	touch etc/new
fi
pivot_root . mnt/old
umount -l mnt/old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	setpriv --bounding-set=-sys_time,-sys_boot,-sys_module \
	/lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=no
