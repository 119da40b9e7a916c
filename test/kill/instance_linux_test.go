package kill

import (
	"context"
	"flag"
	"fmt"
	"net/rpc"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/node"
)

const (
	instanceVerb = "kill-instance"
	workers      = 4
	stepTime     = 200 * time.Microsecond // of each of the three services, about
)

// instanceMain is a process of this test binary that is an instance. It takes
// the flags of interlok-ha run, and besides:
//
//	-market ADDRESS  of the source, the sink and the audit
//	-unfenced        publish without the fence
func instanceMain(args []string) int {
	var sets []string
	f := flag.NewFlagSet(instanceVerb, flag.ExitOnError)
	set := func(text string) error { sets = append(sets, text); return nil }
	f.Func("set", "", set)
	f.Func("name", "", func(v string) error { return set("failover.name=" + v) })
	f.Func("cluster", "", func(v string) error { return set("failover.cluster=" + v) })
	_ = f.String("log-format", "", "")
	market := f.String("market", "", "")
	unfenced := f.Bool("unfenced", false, "")
	_ = f.Parse(args)

	if err := runInstance(sets, *market, *unfenced); err != nil {
		fmt.Fprintln(os.Stderr, instanceVerb+":", err)
		return 1
	}
	return 0
}

func runInstance(sets []string, market string, unfenced bool) error {
	s, err := config.Load(config.Source{Sets: append(sets, "failover.profiler.payload=true"), Hostname: "kill"})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	socket, err := config.SocketPath(config.SocketRoot(os.Environ(), os.Geteuid(), os.TempDir(), config.CanCreate), s.Cluster, s.Name)
	if err != nil {
		return err
	}
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000000Z07:00"
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	return node.Run(ctx, node.Config{
		Reload: hangup, Settings: s, Log: zerolog.New(os.Stderr).With().Timestamp().Logger(), Keeper: true, SocketPath: socket,
	}, func(ctx context.Context, m *node.Master) error {
		if err := report(m, s.Name, market); err != nil {
			return err
		}
		c, err := shop.Dial(market, market)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		w := shop.Work{Master: m, Market: c, Instance: s.Name, Workers: workers, StepTime: stepTime, Unfenced: unfenced}
		return w.Run(ctx)
	})
}

// report tells the audit what this master knows before it has done anything.
func report(m *node.Master, name, market string) error {
	c, err := rpc.Dial("unix", market+".audit")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	t := Takeover{Token: m.Token(), Instance: name, Knows: map[string]Knowledge{}}
	var ids []string
	if err := c.Call("Audit.Published", t.Token, &ids); err != nil {
		if strings.Contains(err.Error(), shop.ErrStale.Error()) {
			return shop.ErrStale
		}
		return err
	}
	for _, id := range ids {
		if m.Seen(id) {
			t.Knows[id] = Done
		}
	}
	for _, msg := range m.InFlight() {
		t.Knows[msg.ID] = knowledge(msg)
	}
	return c.Call("Audit.Report", t, new(bool))
}
