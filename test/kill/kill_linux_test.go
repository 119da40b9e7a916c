package kill

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/test/lab"
	"github.com/interlok-ha/interlok-ha/workload"
)

var (
	kills    = flag.Int("kills", 4, "how often the master is killed with SIGKILL")
	stops    = flag.Int("stops", 1, "how often it is frozen with SIGSTOP, and woken when another reigns")
	unfenced = flag.Int("unfenced", 4, "how often it is killed with the fence off; up to five times that until something is found")
)

// soon bounds what should happen at once, on a machine that is busy.
const soon = 20 * time.Second

// TestMain runs no tests in a process that was started as something else: a
// keeper that did would start instances, and they keepers, without end.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-") {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "keeper":
		os.Exit(workload.KeeperMain(os.Args[2:], os.Environ()))
	case instanceVerb:
		os.Exit(instanceMain(os.Args[2:]))
	}
	os.Exit(2)
}

// TestFenced is the promise: whatever was published, the next master knows.
func TestFenced(t *testing.T) {
	p := newPlay(t, scene{})
	for n := range *kills + *stops {
		// The freezes lie between the kills, the first one early.
		if *stops > 0 && n%((*kills+*stops)/(*stops)) == 1 && p.frozen < *stops {
			p.freeze()
		} else {
			p.kill()
		}
	}
	v := p.end()
	for _, fault := range v.Faults {
		t.Error(fault)
	}
	if v.Unknown+v.Twice+v.Lost+v.TakenTwice+v.StaleTaken > 0 {
		t.Errorf("%v", v)
	}
}

// TestUnfenced shows that TestFenced would see it: with the fence off there are
// messages that were published without the next master's knowing.
func TestUnfenced(t *testing.T) {
	p := newPlay(t, scene{unfenced: true})
	for p.killed < *unfenced || p.killed < 5**unfenced && p.judge().Unknown == 0 {
		p.kill()
	}
	v := p.end()
	if v.Unknown == 0 {
		t.Errorf("with the fence off no message was unknown to the next master: this test sees nothing. %v", v)
	}
	if v.Lost+v.TakenTwice+v.StaleTaken > 0 { // source and sink are as strict as ever
		t.Errorf("%v; %q", v, v.Faults)
	}
}

// scene is what a play can differ in.
type scene struct {
	unfenced bool
	rate     int      // orders in a second, at most; 0 = as many as are taken
	set      []string // settings, over lab.Fast
	program  string   // that the first instances are of; "" = this one
}

// play is a cluster of three under load.
type play struct {
	*lab.Cluster
	scene
	t      *testing.T
	m      *market
	n      int // instances so far
	reigns int // masters that have reported
	killed int
	frozen int
	master *lab.Instance
	at     time.Time
}

func newPlay(t *testing.T, s scene) *play {
	t.Helper()
	p := &play{Cluster: lab.New(t, slices.Concat(lab.Fast, s.set)...), scene: s, t: t, at: time.Now()}
	p.m = open(t, p.Dir+"/market", s.rate)
	t.Cleanup(func() { // a keeper stays for as long as somebody may ask for its word
		for _, i := range p.Others(nil) {
			_ = syscall.Kill(i.PID, syscall.SIGCONT)
			i.Signal(syscall.SIGTERM)
		}
		for _, i := range p.Others(nil) {
			i.Exit(soon)
		}
	})
	for range 3 {
		p.start()
	}
	p.ready()
	return p
}

// start starts one more instance.
func (p *play) start() {
	p.t.Helper()
	p.n++
	p.startAs(fmt.Sprintf("n%d", p.n))
}

// startAs starts an instance of a name that none has, or one that has ended.
func (p *play) startAs(name string) {
	p.t.Helper()
	self := p.program
	if self == "" {
		var err error
		if self, err = os.Executable(); err != nil {
			p.t.Fatal(err)
		}
	}
	program := []string{self, instanceVerb, "-market", p.m.Addr}
	if p.unfenced {
		program = append(program, "-unfenced")
	}
	p.Run(lab.Run{Name: name, Program: program})
}

// ready waits for a master that works, with two slaves in step, and lets it work
// for a while.
func (p *play) ready() {
	p.t.Helper()
	p.master = p.Settled(soon)
	p.master.WaitStatus("two slaves in step", soon, func(s admin.Status) bool { return s.Cache != nil && len(s.Cache.InSync) == 2 })
	p.works(20 + rand.IntN(200))
}

// works waits until the sink has taken some more.
func (p *play) works(more int) {
	p.t.Helper()
	from := p.m.Sink.UpTo()
	lab.Wait(p.t, "messages to flow", soon, func() bool { return p.m.Sink.UpTo() >= from+more })
}

// successor waits for the report of a new master.
func (p *play) successor() {
	p.t.Helper()
	had := p.reigns
	lab.Wait(p.t, "a new master", soon, func() bool {
		p.reigns = len(p.m.audit.reports())
		return p.reigns > had
	})
}

func (p *play) kill() {
	p.t.Helper()
	p.reigns = len(p.m.audit.reports())
	p.killed++
	p.master.KillHard()
	p.successor()
	p.start()
	p.ready()
}

func (p *play) freeze() {
	p.t.Helper()
	p.reigns = len(p.m.audit.reports())
	p.frozen++
	old := p.master
	old.Signal(syscall.SIGSTOP)
	p.successor()
	p.works(100)
	old.Signal(syscall.SIGCONT)
	old.WaitState(admin.StateSlave, soon)
	p.ready()
}

// end lets the last messages through, and judges.
func (p *play) end() Verdict {
	p.t.Helper()
	p.m.Close(soon)
	v := p.judge()
	open, stale := 0, 0
	for _, r := range p.m.audit.reports() {
		for _, k := range r.Knows {
			if k == Open {
				open++
			}
		}
	}
	for _, e := range p.m.Sink.Books() {
		if e.Verdict == shop.Stale {
			stale++
		}
	}
	p.t.Logf("%d kills, %d freezes in %.1f s: %v; new masters found %d open publishes, the sink refused %d late writes",
		p.killed, p.frozen, time.Since(p.at).Seconds(), v, open, stale)
	return v
}

// judge goes through what there is so far.
func (p *play) judge() Verdict {
	made, _ := p.m.Source.Count()
	return judge(p.m.Sink.Books(), p.m.audit.reports(), made)
}
