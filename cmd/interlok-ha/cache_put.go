package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/spf13/cobra"
)

// maxValue is the most that the cache takes.
const maxValue = 1 << 20

// writing are the flags of the verbs that change an entry.
type writing struct {
	timeout time.Duration
}

func writingFlags(cmd *cobra.Command) *writing {
	w := &writing{}
	cmd.Flags().DurationVar(&w.timeout, "timeout", 0, "`TIME` to wait for room and for the slaves, like 30s (default: 5s)")
	return w
}

func (w *writing) check(cmd *cobra.Command) error {
	if w.timeout < 0 || w.timeout == 0 && cmd.Flags().Changed("timeout") {
		return usageError("--timeout must be above zero", "write for example 30s")
	}
	return nil
}

func (a *app) cachePutVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "put KEY [VALUE|-] [--in-flight] [--cache NAME]",
		Short: "Write one entry; only the master can",
		Long: `Write one entry. VALUE - and none mean standard input, taken as it is. Only the
master writes; asked of another instance, this fails and names it.

An entry in flight is never evicted and never expires, and the next master finds
it with cache in-flight. Put it again without --in-flight when it is finished,
or remove it. Over a message that hooks told of, its state is replaced: what is
known of its steps and of what was published is gone, so use keys of your own.
By default this does not wait for the slaves; with the key
failover.cache.replicate.asynchronously=false it does.`,
		Example: `  interlok-ha cache put --in-flight order-17 step-1
  interlok-ha cache put order-17 done
  date | interlok-ha cache put last-run`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && args[0] == "" {
				return usageError("KEY is empty", "a key has at least one byte; is a variable of the script not set?")
			}
			if len(args) == 0 || len(args) > 2 {
				return usageError("cache put needs KEY and at most one VALUE", "see `"+cmd.CommandPath()+" --help`")
			}
			return nil
		},
	}
	t, f := a.cacheFlags(cmd), writingFlags(cmd)
	var inFlight bool
	cmd.Flags().BoolVar(&inFlight, "in-flight", false, "keep it until it is put again without this, or removed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		value, err := a.valueOf(args[1:])
		if err != nil {
			return err
		}
		c, name, err := a.openCache(cmd.Context(), t)
		if err != nil {
			return err
		}
		if err := c.CachePut(cmd.Context(), name, args[0], value, inFlight, f.timeout); err != nil {
			return err
		}
		return a.wrote(name, args[0])
	}
	return cmd
}

// valueOf is the argument, or all of standard input.
func (a *app) valueOf(args []string) ([]byte, error) {
	if len(args) > 0 && args[0] != "-" {
		return []byte(args[0]), nil
	}
	if a.stdin == nil {
		return nil, errors.New("there is no standard input to read the value from")
	}
	value, err := io.ReadAll(io.LimitReader(a.stdin, maxValue+1))
	if err != nil {
		return nil, fmt.Errorf("read the value: %w", err)
	}
	if len(value) > maxValue {
		return nil, &admin.Error{Kind: admin.KindTooLarge, Detail: fmt.Sprintf("the value has more than %d bytes", maxValue)}
	}
	return value, nil
}

func (a *app) cacheRmVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rm KEY [--orphan] [--cache NAME]",
		Short: "Remove one entry; only the master can",
		Args:  oneKey,
	}
	t, f := a.cacheFlags(cmd), writingFlags(cmd)
	var orphan bool
	cmd.Flags().BoolVar(&orphan, "orphan", false, "forget what deposed masters left under KEY, and leave the entry")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		c, name, err := a.openCache(cmd.Context(), t)
		if err != nil {
			return err
		}
		if err := c.CacheRemove(cmd.Context(), name, args[0], orphan, f.timeout); err != nil {
			return err
		}
		return a.wrote(name, args[0])
	}
	return cmd
}

// wrote tells programs what was written. For people no news is good news: a
// command's own output is a log that nobody wants these lines in.
func (a *app) wrote(cache, key string) error {
	if a.output == "table" {
		return nil
	}
	e := admin.DescribeEntry(key, nil, false)
	return a.print(struct {
		Cache       string `json:"cache"`
		Key         string `json:"key"`
		KeyEncoding string `json:"keyEncoding,omitempty"`
	}{cache, e.Key, e.KeyEncoding}, nil)
}
