package failover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
)

// Store keeps the election's state in a directory that it locks: two slots
// with checksums, written in turn, so that a crash in the middle of a write
// leaves the other.
type Store struct {
	dir     string
	lock    *os.File
	counter uint64
}

// ErrRunning is wrapped by the error of OpenStore when another process has the
// directory.
var ErrRunning = errors.New("already runs here")

const (
	slotMagic = "ILHASTA1" // the last is the version of the format
	slotSize  = 8 + 8 + 8 + 8 + 8 + 16 + 8 + 1 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenStore makes dir if it is not there, locks it, and reads the state. It is an
// error if others than this user and root may change what is in it. The
// state is marked Unsure if slots are there and none can be read; one of a newer version is an error. If another
// live process holds the lock the error wraps ErrRunning and names its pid; the
// lock of a process that is just being ended is waited for, up to wait.
func OpenStore(dir string, wait time.Duration) (*Store, election.State, error) {
	var none election.State
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, none, fmt.Errorf("state directory: %w; choose another with failover.state.dir", err)
	}
	if err := checkDir(dir); err != nil {
		return nil, none, err
	}
	lock, err := lockDir(filepath.Join(dir, "lock"), wait)
	if err != nil {
		return nil, none, err
	}
	s := &Store{dir: dir, lock: lock}
	st, err := s.load()
	if err != nil {
		_ = s.Close()
		return nil, none, err
	}
	return s, st, nil
}

// Lock is the locked file. The lock lasts while any process has it open.
func (s *Store) Lock() *os.File { return s.lock }

// Close gives the lock up.
func (s *Store) Close() error { return s.lock.Close() }

func (s *Store) slot(n uint64) string { return filepath.Join(s.dir, fmt.Sprintf("state.%d", n%2)) }

func (s *Store) load() (election.State, error) {
	var best election.State
	found, good := false, false
	for n := range uint64(2) {
		b, err := readSlot(s.slot(n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return best, fmt.Errorf("read state: %w", err)
		}
		if newer(b) {
			return best, fmt.Errorf("read state: %s is of a newer version of interlok-ha; run that one, or stop all instances and remove state.0 and state.1 from %s to begin anew", s.slot(n), s.dir)
		}
		found = true
		counter, st, ok := decodeSlot(b)
		if ok && (!good || counter > s.counter) {
			best, s.counter, good = st, counter, true
		}
	}
	if found && !good {
		best.Unsure = true
	}
	return best, nil
}

// Save stores st durably: written and synced to disk when it returns nil.
func (s *Store) Save(st election.State) error {
	name := s.slot(s.counter + 1)
	_, err := os.Lstat(name)
	fresh := err != nil
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	_, err = f.WriteAt(encodeSlot(s.counter+1, st), 0)
	if err == nil {
		err = f.Truncate(slotSize) // it may have been longer
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil && fresh {
		err = syncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	s.counter++
	return nil
}

// readSlot reads a slot, or a little more if the file is too long to be one.
func readSlot(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", name))
	}
	return io.ReadAll(io.LimitReader(f, slotSize+1))
}

func encodeSlot(counter uint64, st election.State) []byte {
	be := binary.BigEndian
	b := append(make([]byte, 0, slotSize), slotMagic...)
	b = be.AppendUint64(b, counter)
	b = be.AppendUint64(b, st.MaxEpoch)
	b = be.AppendUint64(b, st.Reigned)
	b = be.AppendUint64(b, st.Granted)
	b = append(b, st.GrantedTo[:]...)
	b = be.AppendUint64(b, uint64(st.Promise))
	flags := byte(0)
	if st.Drained {
		flags |= 1
	}
	if st.Unsure {
		flags |= 2
	}
	b = append(b, flags)
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeSlot(b []byte) (counter uint64, st election.State, ok bool) {
	be := binary.BigEndian
	if len(b) != slotSize || string(b[:8]) != slotMagic || crc32.Checksum(b[:slotSize-4], castagnoli) != be.Uint32(b[slotSize-4:]) {
		return 0, st, false
	}
	counter = be.Uint64(b[8:])
	st.MaxEpoch, st.Reigned, st.Granted = be.Uint64(b[16:]), be.Uint64(b[24:]), be.Uint64(b[32:])
	copy(st.GrantedTo[:], b[40:56])
	st.Promise = time.Duration(be.Uint64(b[56:]))
	st.Drained, st.Unsure = b[64]&1 != 0, b[64]&2 != 0
	return counter, st, true
}

// newer reports whether a slot is in the format of a later version. What it says
// must not be forgotten, and an older slot beside it must not pass for the last.
func newer(b []byte) bool {
	const version = len(slotMagic) - 1
	return len(b) > version && string(b[:version]) == slotMagic[:version] && b[version] > slotMagic[version] && b[version] <= '9'
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}
