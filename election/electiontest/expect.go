package electiontest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// expect holds the run against a line of the scenario:
//
//	expect none                 nobody works
//	expect one                  exactly one works
//	expect master NODE          NODE works, and nobody else
//	expect works NODE           NODE works, whoever else does
//	expect state NODE STATE     as NODE's last packet told
//	expect epoch-of NODE N      NODE works, under epoch N
//	expect highest              the one that works has the greatest epoch that ever reigned
//	expect promotions N         so many openings up to now
//	expect false N              so many openings while another worked and nothing was wrong
//	expect claims N             so many claims at most
//	expect takeovers N          so many crashes of a master were followed by an opening
//	expect takeovers-within D   and each took no longer than that
//	expect handovers N          so many planned changes of master
//	expect handovers-within D   and each took no longer than that
//	expect double-within D      two worked for no longer than that in all
//	expect cuts N               so many copies gave up records at most
//	expect event NAME N         so many events of that name at least
//	expect at-most NAME N       so many events of that name at most
func (s *sim) expect(a Action) error {
	verb, args := a.Args[0], a.Args[1:]
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	var working []string
	for _, n := range s.nodes {
		if n.acts() {
			working = append(working, n.spec.Name)
		}
	}
	got := strings.Join(working, ",")
	who := func(ok bool, want string) error {
		if !ok {
			s.violate("expect", "[%s] works, want %s", got, want)
		}
		return nil
	}
	count := func(got int, word string, ok func(got, want int) bool) error {
		want, err := strconv.Atoi(arg(len(args) - 1))
		if err != nil {
			return fmt.Errorf("electiontest: expect %s: %w", verb, err)
		}
		if !ok(got, want) {
			s.violate("expect", "%d %s, want %d", got, word, want)
		}
		return nil
	}
	equal := func(got, want int) bool { return got == want }
	within := func(took ...time.Duration) error {
		most, err := time.ParseDuration(arg(0))
		if err != nil {
			return fmt.Errorf("electiontest: expect %s: %w", verb, err)
		}
		if len(took) > 0 && slices.Max(took) > most {
			s.violate("expect", "%s: %v took longer than %v", verb, slices.Max(took), most)
		}
		return nil
	}
	switch verb {
	case "none":
		return who(got == "", "nobody")
	case "one":
		return who(len(working) == 1, "exactly one")
	case "master":
		return who(got == arg(0), arg(0))
	case "works":
		return who(slices.Contains(working, arg(0)), arg(0)+" among them")
	case "state":
		for _, n := range s.find(arg(0)) {
			if n.state.String() != arg(1) {
				s.violate("expect", "%s is %v, want %s", n.spec.Name, n.state, arg(1))
			}
		}
		return nil
	case "epoch-of":
		for _, n := range s.find(arg(0)) {
			if !n.acts() || arg(1) != strconv.FormatUint(n.epoch, 10) {
				s.violate("expect", "[%s] works, %s last under epoch %d, want epoch %s", got, n.spec.Name, n.epoch, arg(1))
			}
		}
		return nil
	case "highest":
		for _, n := range s.nodes {
			if n.acts() && n.epoch < s.chk.topEpoch {
				s.violate("expect", "%s works under epoch %d, but %d has reigned", n.spec.Name, n.epoch, s.chk.topEpoch)
			}
		}
		return nil
	case "promotions":
		return count(s.rep.Promotions, verb, equal)
	case "false":
		return count(s.rep.False, "false take-overs", equal)
	case "claims":
		return count(s.rep.Claims, verb, func(got, want int) bool { return got <= want })
	case "takeovers":
		return count(len(s.rep.TakeOvers), verb, equal)
	case "takeovers-within":
		return within(s.rep.TakeOvers...)
	case "handovers":
		return count(len(s.rep.HandOvers), verb, equal)
	case "handovers-within":
		return within(s.rep.HandOvers...)
	case "double-within":
		return within(s.rep.Double)
	case "cuts":
		return count(s.rep.Cuts, verb, func(got, want int) bool { return got <= want })
	case "event", "at-most":
		n := 0
		for e, k := range s.rep.Events {
			if e.String() == arg(0) {
				n += k
			}
		}
		return count(n, "events "+arg(0), func(got, want int) bool {
			return got == want || (got > want) == (verb == "event")
		})
	}
	return fmt.Errorf("electiontest: cannot expect %q", verb)
}
