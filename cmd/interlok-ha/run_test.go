//go:build unix

package main

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// A signal that comes again soon is the same one; a later one, or another, is
// the second.
func TestEchoOfSignal(t *testing.T) {
	for _, tt := range []struct {
		name string
		wait time.Duration // from the first
		next os.Signal
		want []string
	}{
		{"at once", 0, syscall.SIGTERM, []string{"first"}},
		{"soon", echoTime - 1, syscall.SIGTERM, []string{"first"}},
		{"later", echoTime, syscall.SIGTERM, []string{"first", "second"}},
		{"another", 0, syscall.SIGINT, []string{"first", "second"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []string
				stop, quit := make(chan os.Signal), make(chan struct{})
				go heed(stop, quit, zerolog.Nop(),
					func() { got = append(got, "first") }, func() { got = append(got, "second") })
				stop <- syscall.SIGTERM
				synctest.Wait()
				time.Sleep(tt.wait)
				stop <- tt.next
				close(quit)
				synctest.Wait()
				if !slices.Equal(got, tt.want) {
					t.Errorf("called %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// The words about a signal come after what it does.
func TestSignalBeforeWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		stop, quit := make(chan os.Signal), make(chan struct{})
		done := false
		go heed(stop, quit, zerolog.New(standing{stuck}), func() { done = true }, nil)
		stop <- syscall.SIGTERM
		synctest.Wait()
		if !done {
			t.Error("the log is waited for")
		}
		close(stuck)
		close(quit)
	})
}

// standing is a writer that takes nothing until its channel is closed.
type standing struct{ until chan struct{} }

func (s standing) Write(b []byte) (int, error) {
	<-s.until
	return len(b), nil
}
