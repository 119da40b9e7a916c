package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/spf13/cobra"
)

func (a *app) cacheVerb() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "cache ls|get|watch|stats|in-flight|put|rm",
		Short: "Look into the replicated cache, or write to it",
		Long: `Look into the replicated cache, FAILOVER_CACHE or the one that --cache names. A
slave shows its own copy and says how far behind it is. Only the master writes.`,
	})
	cmd.AddCommand(a.cacheLsVerb(), a.cacheGetVerb(), a.cacheWatchVerb(), a.cacheStatsVerb(), a.cacheInFlightVerb(), a.cachePutVerb(), a.cacheRmVerb())
	return cmd
}

// cacheTarget is the cache that a verb is about.
type cacheTarget struct {
	*target
	cache string
}

func (a *app) cacheFlags(cmd *cobra.Command) *cacheTarget {
	t := &cacheTarget{target: a.targetFlags(cmd)}
	cmd.Flags().StringVar(&t.cache, "cache", "", "`NAME` of the cache (default: FAILOVER_CACHE, or the first there is)")
	_ = cmd.RegisterFlagCompletionFunc("cache", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		var names []string
		if c, err := a.client(t.target); err == nil {
			s, _ := c.CacheStats(cmd.Context()) // nothing to offer is no fault
			for _, n := range s.Caches {
				names = append(names, n.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	return t
}

// openCache finds the instance, and what its cache is called.
func (a *app) openCache(ctx context.Context, t *cacheTarget) (*admin.Client, string, error) {
	c, err := a.client(t.target)
	if err != nil || t.cache != "" {
		return c, t.cache, err
	}
	s, err := c.CacheStats(ctx)
	if err != nil {
		return nil, "", err
	}
	named, err := s.Named("")
	return c, named.Name, err
}

func oneKey(cmd *cobra.Command, args []string) error {
	if len(args) == 1 && args[0] != "" {
		return nil
	}
	if len(args) == 1 {
		return usageError("KEY is empty", "a key has at least one byte; is a variable of the script not set?")
	}
	return usageError("cache "+cmd.Name()+" needs one KEY", "see `"+cmd.CommandPath()+" --help`")
}

// copyText says whose copy is shown and how far it is behind; "" on the master.
func copyText(c *admin.CacheCopy) string {
	if c == nil {
		return ""
	}
	if c.Of == "" {
		return "a copy, and no master is followed"
	}
	text := "copy of " + c.Of + ", "
	switch {
	case c.Snapshot:
		text += "being fetched anew"
	case !c.Connected:
		text += "which is not reached"
	case c.Behind == 0:
		text += "complete"
	default:
		text += count(int(c.Behind), "record") + " behind"
	}
	if c.LastContactMs > 0 {
		text += ", heard " + ageText(c.LastContactMs) + " ago"
	}
	return text
}

// sizeText is a number of bytes in the unit that reads best.
func sizeText(n int64) string {
	switch {
	case n < 1<<10:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// ageText is an age in the unit that reads best.
func ageText(ms int64) string {
	for _, u := range []struct {
		name string
		unit time.Duration
		most int64 // of that unit
	}{
		{"ms", time.Millisecond, 10_000}, {"s", time.Second, 600}, {"min", time.Minute, 600}, {"h", time.Hour, 100},
	} {
		if n := ms / u.unit.Milliseconds(); n < u.most {
			return strconv.FormatInt(n, 10) + " " + u.name
		}
	}
	return strconv.FormatInt(ms/(24*time.Hour).Milliseconds(), 10) + " d"
}

// keyText is a key, or another word from the network, for people: as it is if
// all of it can be seen, else in quotes and escaped.
func keyText(key string) string {
	plain := key != "" && key[0] != '"' && strings.TrimSpace(key) == key && utf8.ValidString(key)
	for _, r := range key {
		plain = plain && unicode.IsPrint(r)
	}
	if plain {
		return key
	}
	return strconv.Quote(key)
}

// rawKey is the key of an answer; one that makes no sense is shown as it came.
func rawKey(text, encoding string) string {
	raw, err := admin.CacheEntry{Key: text, KeyEncoding: encoding}.RawKey()
	if err != nil {
		return text
	}
	return raw
}

// shellWord is a key as a shell takes it.
func shellWord(key string) string {
	plain := key != ""
	for _, r := range key {
		plain = plain && (r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune("-_./:@%+,", r))
	}
	switch {
	case plain:
		return key
	case keyText(key) == key:
		return "'" + strings.ReplaceAll(key, "'", `'\''`) + "'"
	}
	var b strings.Builder
	for i := range len(key) {
		if c := key[i]; c > ' ' && c < 0x7f && c != '\'' && c != '\\' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return "$'" + b.String() + "'"
}
