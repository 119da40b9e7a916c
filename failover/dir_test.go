//go:build unix

package failover

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestStoreOfOthers: a directory that others may change is refused, and the
// error says what to do.
func TestStoreOfOthers(t *testing.T) {
	for _, tt := range []struct {
		mode os.FileMode
		want string
	}{
		{0o700, ""}, {0o755, ""}, {0o777 | os.ModeSticky, ""},
		{0o770, "others can change what is in"}, {0o702, "run chmod 0700"},
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, tt.mode); err != nil {
			t.Fatal(err)
		}
		refused(t, tt.mode.String(), dir, tt.want)
	}
	if os.Geteuid() != 0 {
		t.Log("only root can give directories away: the rest is left out")
		return
	}
	give := func(path string) {
		if err := os.Lchown(path, 12345, -1); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	give(dir)
	refused(t, "of another user", dir, dir+" belongs to user 12345")

	// In a shared folder the next one down counts too, and a link there.
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	squatted, link := filepath.Join(shared, "squatted"), filepath.Join(shared, "link")
	if err := os.MkdirAll(filepath.Join(squatted, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	refused(t, "below our own", filepath.Join(squatted, "a", "b"), "")
	refused(t, "our link", filepath.Join(link, "a"), "")
	give(squatted)
	give(link)
	refused(t, "below another's", filepath.Join(squatted, "a", "b"), squatted+" belongs to user 12345")
	refused(t, "another's link", filepath.Join(link, "a"), link) // many kernels follow none of that kind either
}

// refused opens the store in dir, and wants an error that says want; "": none.
func refused(t *testing.T, what, dir, want string) {
	t.Helper()
	s, _, err := OpenStore(dir, 0)
	if err == nil {
		_ = s.Close()
	}
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

// TestLockFollowsNoLink: a link in the place of the lock would have the file that
// it leads to written.
func TestLockFollowsNoLink(t *testing.T) {
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	refused(t, "a link for a lock", dir, syscall.ELOOP.Error())
	if b, err := os.ReadFile(victim); err != nil || string(b) != "as it was" {
		t.Errorf("the link was followed: %q, %v", b, err)
	}
}
