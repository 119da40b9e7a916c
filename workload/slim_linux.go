package workload

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Slim forgets the code that was touched while the process came up: all packages
// were set up and settings read, and what runs from then on needs little of it.
// What is used again is mapped again, from the file. Only code is forgotten,
// which nothing ever wrote to.
func Slim() {
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
