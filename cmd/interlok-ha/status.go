package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/spf13/cobra"
)

func (a *app) statusVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [--instance NAME | --socket PATH]",
		Short: "Show who is master and who waits",
		Args:  noArgs,
	}
	t := a.targetFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(t)
		if err != nil {
			return err
		}
		s, err := c.Status(cmd.Context())
		if err != nil {
			return err
		}
		return a.print(s, func(w io.Writer, st style) { statusTable(w, st, s, time.Now()) })
	}
	return cmd
}

// labelWidth is that of the words at the left edge.
const labelWidth = 10

// statusTable is a status for people: what this instance is, then everybody.
func statusTable(w io.Writer, st style, s admin.Status, now time.Time) {
	line := func(label, text string) { printLine(w, st.faint(fmt.Sprintf("%-*s", labelWidth, label))+text) }

	epochs := s.Settings.Design != string(config.Design33) // a ping has none
	line("cluster", st.bold(s.Cluster)+"  "+settingsText(s.Settings))
	line("instance", st.bold(s.Instance.Name)+"  "+roleText(st, s.Instance.Role, s.Instance.State)+" since "+sinceText(s.Instance.Since.Time, now))
	if m := s.Master; m != nil {
		text := st.bold(m.Name)
		if epochs {
			text += "  epoch " + strconv.FormatUint(m.Epoch, 10)
		}
		line("master", text)
	} else {
		line("master", st.yellow("none known"))
	}
	if len(s.PromotionOrder) > 0 {
		var places []string
		for _, p := range s.PromotionOrder {
			places = append(places, fmt.Sprintf("%d %s", p.Position, p.Name))
		}
		line("next", strings.Join(places, ", "))
	}
	if until := s.Instance.MaintenanceUntil; until != nil {
		line("", st.yellow("maintenance until "+until.Local().Format(time.DateTime)+": nobody claims"))
	}
	if l := s.Workload; l != nil {
		line("workload", workloadText(*l))
	}
	if c := s.Cache; c != nil {
		standing := "in step: " + orNone(strings.Join(c.InSync, ", "))
		if c.Copy != nil {
			standing = copyText(c.Copy)
		}
		line("cache", fmt.Sprintf("%s  %s, %d in flight, %s", c.Name, entriesText(c.Entries), c.InFlight, standing))
	}
	if p := s.Packets; p != nil {
		line("packets", packetsText(*p))
	}
	for _, alarm := range s.Alarms {
		line("alarm", st.red(alarm))
	}

	fmt.Fprintln(w)
	head := []cell{{text: "  NAME"}, {text: "ROLE"}, {text: "POS", right: true}, {text: "EPOCH", right: true}, {text: "HEARD", right: true}, {text: "ADDRESS"}}
	me := admin.Peer{Name: s.Instance.Name, Role: s.Instance.Role, State: s.Instance.State, Position: s.Instance.Position, Epoch: s.Instance.Epoch,
		Candidate: s.Instance.Candidate, Barred: s.Instance.Barred}
	type entry struct {
		admin.Peer
		self bool
	}
	all := []entry{{me, true}}
	for _, p := range s.Peers {
		all = append(all, entry{p, false})
	}
	// Masters first, then the line of claims, nobody's place last.
	slices.SortStableFunc(all, func(x, y entry) int {
		return cmp.Or(cmp.Compare(x.Role, y.Role), cmp.Compare(uint(x.Position-1), uint(y.Position-1)), cmp.Compare(x.Name, y.Name))
	})
	var rows [][]cell
	for _, p := range all {
		name, heard, paint := "  "+p.Name, ago(p.LastContactMs), func(t string) string { return t }
		if p.self {
			name, heard = "* "+p.Name, "here"
		}
		if p.Role == admin.RoleMaster {
			paint = st.green
		}
		position := "-"
		if p.Position > 0 {
			position = strconv.Itoa(p.Position)
		}
		epoch := "-"
		if epochs {
			epoch = strconv.FormatUint(p.Epoch, 10)
		}
		rows = append(rows, []cell{{text: name}, {text: plainRole(p.Peer), paint: paint},
			{text: position, right: true}, {text: epoch, right: true}, {text: heard, right: true}, {text: p.Address}})
	}
	table(w, st, head, rows)
}

func settingsText(s admin.Settings) string {
	parts := []string{"design " + s.Design}
	switch {
	case s.TimeoutMs > 0:
		parts = append(parts, fmt.Sprintf("ping %d ms, timeout %d ms", s.DelayMs, s.TimeoutMs))
	case s.DelayMs > 0:
		parts = append(parts, fmt.Sprintf("delay %d ms × %d", s.DelayMs, s.Retries))
	}
	switch {
	case s.TimeoutMs > 0:
	case s.Quorum > 0:
		parts = append(parts, fmt.Sprintf("quorum %d", s.Quorum))
	default:
		parts = append(parts, "no quorum")
	}
	if s.Authenticated {
		parts = append(parts, "authenticated")
	} else {
		parts = append(parts, "not authenticated")
	}
	return strings.Join(parts, ", ")
}

func workloadText(l admin.Workload) string {
	text := l.State
	if l.PID > 0 {
		text += ", pid " + strconv.Itoa(l.PID)
	}
	if l.Restarts > 0 {
		text += ", " + count(l.Restarts, "restart")
	}
	command := strings.Join(l.Command, " ")
	if command == "" { // work in Go
		return text
	}
	most := max(80-labelWidth-len(text+": "), 20)
	if r := []rune(command); len(r) > most {
		command = string(r[:most-1]) + "…"
	}
	return text + ": " + command
}

func packetsText(p admin.Packets) string {
	var causes []string
	total := uint64(0)
	for _, cause := range slices.Sorted(maps.Keys(p.Dropped)) {
		if n := p.Dropped[cause]; n > 0 {
			causes = append(causes, fmt.Sprintf("%s %d", cause, n))
			total += n
		}
	}
	text := fmt.Sprintf("%d sent, %d received, %d dropped", p.Sent, p.Received, total)
	if len(causes) > 0 {
		text += " (" + strings.Join(causes, ", ") + ")"
	}
	return text
}

// roleText is the role, and the state where that says more.
func roleText(st style, role, state string) string {
	paint := func(s string) string { return s }
	switch state {
	case admin.StateMaster:
		paint = st.green
	case admin.StateFault:
		paint = st.red
	case admin.StateDrained, admin.StateDraining, admin.StateMaintenance:
		paint = st.yellow
	}
	return paint(plainRole(admin.Peer{Role: role, State: state}))
}

func plainRole(p admin.Peer) string {
	text := p.Role
	if p.State != "" && p.State != p.Role {
		text += " (" + p.State + ")"
	}
	if p.State == "silent" {
		text = "silent"
	}
	switch {
	case p.Candidate != nil && !*p.Candidate && strings.HasPrefix(p.Barred, "it is a mirror"):
		text += " (mirror)"
	case p.Candidate != nil && !*p.Candidate:
		text += " (witness)"
	case p.Barred != "" && (p.State == p.Role || p.State == admin.StateMaintenance): // other states say why themselves
		text += " (" + p.Barred + ")"
	}
	return text
}

func sinceText(t, now time.Time) string {
	if t.Year() <= 1 {
		return "its start"
	}
	layout := time.TimeOnly
	age := now.Sub(t).Round(time.Second)
	if age >= 24*time.Hour {
		layout = time.DateTime
	}
	return fmt.Sprintf("%s (%s)", t.Local().Format(layout), max(age, 0))
}

// ago is how long ago a peer was heard, in the unit that reads best.
func ago(ms int64) string {
	switch d := time.Duration(ms) * time.Millisecond; {
	case d < 10*time.Second:
		return strconv.FormatInt(ms, 10) + " ms"
	case d < 10*time.Minute:
		return strconv.FormatInt(int64(d/time.Second), 10) + " s"
	default:
		return strconv.FormatInt(int64(d/time.Minute), 10) + " min"
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
