package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// What the demo tells of what it sees, in words. All but prologue and heading
// are called under the board's lock.

func (p *play) prologue(group string, port int) {
	p.tell.say(plain, fmt.Sprintf(`Three instances on this machine: the processes a, b and c. They speak over lo
only, group %s, port %d. The delay is %d ms × %d, a fifth of the
default, so that a dead master is missed after %g s instead of 5 s.

The master runs the program of examples/orders. It takes orders from a source,
%d a second, leads each through three services, and publishes an invoice to a
sink, %d at a time. Each step is told to the slaves, the publish before it runs:
so a new master knows what was in flight, and how far each message had come. The
sink takes each id once. Source and sink refuse a fencing token older than one
they have seen. Interrupt it at any time; nothing stays behind.`,
		group, port, delay.Milliseconds(), retries, (delay*retries).Seconds(),
		time.Second/pace, hands))
}

func (p *play) heading(number int, text string) {
	p.tell.say(title, "\n"+rule(fmt.Sprintf("%d. %s", number, text)))
}

// rule is text in a line across the screen.
func rule(text string) string {
	line := "--- " + text + " "
	return line + strings.Repeat("-", max(0, 78-len(line)))
}

// note tells what happens now to an instance.
func (p *play) note(who string, c tone, format string, args ...any) {
	p.tell.event(boottime.Now()-p.start, who, c, format, args...)
}

// viewed hears each event of each instance.
func (p *play) viewed(i *instance, e admin.Event) {
	switch e.Type {
	case admin.EventPromoted:
		p.reigns++
		p.crown.name, p.crown.epoch, p.crown.at = i.name, e.Epoch, boottime.Now()
		after := ""
		if p.blow.at > 0 {
			after = fmt.Sprintf(", %s after %s", seconds(p.crown.at-p.blow.at), p.blow.name)
		}
		p.note(i.name, good, "reigns, epoch %d%s", e.Epoch, after)
	case admin.EventDemoted:
		p.note(i.name, harm, "reigns no more: %s", e.Detail)
	case admin.EventIsolated:
		p.note(i.name, harm, "hears nobody any more, and had heard two: it must be cut off")
	case "stalled":
		p.note(i.name, plain, "notices that it stood still: %s", e.Detail)
		if !i.frozen {
			p.stalls++
		}
		i.frozen = false
	case admin.EventConflict, admin.EventClone, admin.EventFault, admin.EventSettingsDiffer, admin.EventCut:
		p.note(i.name, bad, "%s", strings.TrimSpace(e.Type+" "+e.Peer+" "+e.Detail))
	}
}

func (p *play) endedByItself(i *instance) {
	p.note(i.name, bad, "ended by itself")
	p.fatal = fmt.Errorf("instance %s ended by itself", i.name)
}

func (p *play) logged(i *instance, line string) {
	if p.cfg.Verbose {
		p.tell.say(quiet, "            "+i.name+" | "+line)
	}
}

func (p *play) workBegun(k *work) {
	p.note(k.Instance, quiet, "its order processor starts, in process %d", k.PID)
	for _, other := range p.world.works {
		if other == k {
			break
		}
		if other.ended > 0 && other.ended <= k.Started {
			continue
		}
		switch {
		case p.cast[other.Instance].frozen:
			p.note(k.Instance, harm, "and that of %s stands still in the middle of its work", other.Instance)
		case p.torn:
			p.note(k.Instance, harm, "and that of %s has not ended yet: the token protects the sink", other.Instance)
		default:
			p.wrong = append(p.wrong, fmt.Sprintf("the order processor of %s began before that of %s had ended, process %d", k.Instance, other.Instance, other.PID))
			p.note(k.Instance, bad, "%s", p.wrong[len(p.wrong)-1])
		}
	}
}

func (p *play) workEnded(k *work) {
	p.note(k.Instance, quiet, "its order processor has ended, in process %d", k.PID)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
