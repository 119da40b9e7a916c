package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// socketSuffix ends the file name of every socket.
const socketSuffix = ".sock"

// socketPath is where the instance of that cluster and name listens: a folder
// for each cluster under dir, a socket for each name in it.
func socketPath(dir, cluster, name string) string {
	return filepath.Join(dir, cluster, name+socketSuffix)
}

// Found is one live instance of this machine.
type Found struct {
	Cluster, Name, Path string
}

// Find returns the one live instance of this machine whose socket lies under
// dir. An empty cluster or name fits all. A socket that nobody answers is
// removed and not counted. The error is of KindNotReached when there is none
// and of KindAmbiguous when there are several; it names them.
func Find(dir, cluster, name string) (Found, error) {
	all, err := FindAll(dir, cluster, name)
	if err != nil {
		return Found{}, err
	}
	switch len(all) {
	case 1:
		return all[0], nil
	case 0:
		mend := "start one with `interlok-ha run`, or give its --socket PATH"
		if others, err := FindAll(dir, "", ""); err == nil && len(others) > 0 {
			names, _ := namesOf(others)
			mend = "here run: " + names
		}
		return Found{}, &Error{Kind: KindNotReached, Detail: nobody(dir, cluster, name), Mend: mend}
	}
	names, sameCluster := namesOf(all)
	mend := "choose one with --instance NAME"
	if !sameCluster {
		mend = "choose one with --cluster CLUSTER and --instance NAME"
	}
	return Found{}, &Error{Kind: KindAmbiguous, Detail: fmt.Sprintf("%d instances answer here: %s", len(all), names), Mend: mend}
}

// namesOf lists instances, with their clusters if these differ.
func namesOf(all []Found) (names string, sameCluster bool) {
	long, short := make([]string, len(all)), make([]string, len(all))
	sameCluster = true
	for i, f := range all {
		long[i], short[i] = f.Cluster+"/"+f.Name, f.Name
		sameCluster = sameCluster && f.Cluster == all[0].Cluster
	}
	if sameCluster {
		long = short
	}
	return strings.Join(long, ", "), sameCluster
}

// FindAll is Find for any number of instances, sorted by cluster and name.
func FindAll(dir, cluster, name string) ([]Found, error) {
	clusters, err := subfolders(dir)
	if err != nil {
		return nil, err
	}
	var all []Found
	for _, c := range clusters {
		if cluster != "" && c != cluster {
			continue
		}
		files, err := os.ReadDir(filepath.Join(dir, c))
		if err != nil {
			continue // another user's, or gone since: nothing of it is for us
		}
		for _, f := range files {
			n, ok := strings.CutSuffix(f.Name(), socketSuffix)
			if !ok || f.Type()&fs.ModeSocket == 0 || name != "" && n != name {
				continue
			}
			if path := socketPath(dir, c, n); live(path) {
				all = append(all, Found{Cluster: c, Name: n, Path: path})
			}
		}
	}
	return all, nil
}

// fresh is the age below which a socket may be bound and not yet listening.
const fresh = 2 * time.Second

// live reports whether somebody answers; a socket that is surely dead is removed.
func live(path string) bool {
	alive, err := answers(path)
	if err != nil || alive {
		return alive
	}
	if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > fresh {
		os.Remove(path)
	}
	return false
}

func subfolders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Error{Kind: KindNotReached, Detail: fmt.Sprintf("look for instances: %v", err), Err: err}
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func nobody(dir, cluster, name string) string {
	text := "no instance"
	if name != "" {
		text += " named " + name
	}
	if cluster != "" {
		text += " of cluster " + cluster
	}
	return text + " runs here (looked in " + dir + ")"
}
