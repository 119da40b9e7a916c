package workload

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// slim forgets the code that was touched while the binary came up: all of its
// packages were set up, and the keeper needs few. What is used again is mapped
// again, from the file. Only code is forgotten, which nothing ever wrote to.
func slim() {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range bytes.Lines(maps) {
		// start-end perms offset device inode path
		fields := bytes.Fields(line)
		if len(fields) < 6 || string(fields[1]) != "r-xp" || string(fields[4]) == "0" {
			continue
		}
		from, to, _ := bytes.Cut(fields[0], []byte("-"))
		start, err := strconv.ParseUint(string(from), 16, 64)
		if err != nil {
			continue
		}
		end, err := strconv.ParseUint(string(to), 16, 64)
		if err != nil || end <= start {
			continue
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
	}
}
