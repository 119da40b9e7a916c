package workload

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Slim forgets the code, and the constants, that were touched while the process
// came up: all packages were set up and settings read, and what runs from then on
// needs little of it. What is used again is mapped again, from the file. Only
// what nothing ever wrote to is forgotten.
func Slim() {
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	var start, end uint64 // of the mapping, as long as it may go
	for line := range bytes.Lines(maps) {
		// start-end perms offset device inode path
		fields := bytes.Fields(line)
		if from, to, ok := bytes.Cut(fields[0], []byte("-")); ok && len(fields) >= 5 {
			start, end = 0, 0
			if perms := string(fields[1]); (perms == "r-xp" || perms == "r--p") && string(fields[4]) != "0" {
				start, _ = strconv.ParseUint(string(from), 16, 64)
				end, _ = strconv.ParseUint(string(to), 16, 64)
			}
		}
		switch string(fields[0]) {
		case "Anonymous:": // written to before it was made read-only, as a loader does
			if string(fields[1]) != "0" {
				end = start
			}
		case "Swap:": // the same, and swapped out; it comes behind the other
			if string(fields[1]) == "0" && start < end {
				_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
			}
		}
	}
}
