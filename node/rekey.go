package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// reloading reloads whenever it is told to, until ctx ends.
func (n *Node) reloading(ctx context.Context) error {
	for {
		select {
		case _, ok := <-n.o.Reload:
			if !ok {
				return nil
			}
			if err := n.reload(); err != nil {
				n.o.Log.Error().Err(err).Msg("Not reloaded; the old ones stay")
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// reload reads the files of the keys and of the HTTP API's token again, those
// that the settings name. What is at fault stays as it was, and the error says
// what to mend.
func (n *Node) reload() error {
	var errs []error
	if n.s.KeyFile() != "" || n.s.TokenFile() == "" {
		errs = append(errs, n.reloadKeys())
	}
	if n.s.TokenFile() != "" {
		errs = append(errs, n.reloadToken())
	}
	err := errors.Join(errs...)
	if err != nil {
		n.reloads.failed.Add(1)
	} else {
		n.reloads.done.Add(1)
	}
	return err
}

func (n *Node) reloadToken() error {
	token, err := n.s.RereadToken()
	if err != nil {
		return err
	}
	n.admin.SetToken(token)
	n.o.Log.Info().Str("file", n.s.TokenFile()).Msg("Reloaded the token of the HTTP API")
	return nil
}

// reloadKeys reads failover.key.file again and uses what it holds from now on:
// the first key signs, all are accepted. If the file is at fault the keys stay
// as they are, and the error says what to mend.
func (n *Node) reloadKeys() error {
	if n.positions() {
		return errors.New("read keys: the 3.3 design has none")
	}
	keys, err := n.s.RereadKeys()
	if err != nil {
		return err
	}
	if len(n.s.Keys) == 0 { // a key file has one, so this cannot be
		return fmt.Errorf("read keys: this instance runs without a key; restart it")
	}
	in, err := n.newCodec(keys)
	if err != nil {
		return err
	}
	out, err := n.newCodec(keys)
	if err != nil {
		return err
	}
	// Accept before anything is signed with them, and what can fail first.
	if err := n.cache.SetKeys(keysOf(keys)); err != nil {
		return err
	}
	n.listen.SetCodec(in)
	n.broadcast.SetCodec(out)
	n.o.Log.Info().Str("file", n.s.KeyFile()).Int("keys", len(keys)).Hex("signs", out.KeyIDs()[:1]).
		Str("accepts", strings.ReplaceAll(fmt.Sprintf("% x", out.KeyIDs()), " ", ",")).Msg("Reloaded the keys")
	return nil
}

// newCodec makes a codec of this cluster. Each goroutine needs its own.
func (n *Node) newCodec(keys []config.Secret) (*heartbeat.Codec, error) {
	list := make([]heartbeat.Key, len(keys))
	for i, k := range keys {
		list[i] = heartbeat.Key(k)
	}
	return heartbeat.NewCodec(n.s.Cluster, n.s.Generation, list...)
}
