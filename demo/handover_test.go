package demo

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// Tokens as an instance makes them: 20 digits of the epoch, then the instance.
const (
	token1  = "00000000000000000001-ff000000000000000000000000000000"
	token9  = "00000000000000000009-10000000000000000000000000000000"
	token10 = "00000000000000000010-00000000000000000000000000000000"
)

// left is a play in which a was killed and b took over; orders 1 to 5 were with
// a when it died.
func left(t *testing.T, out *strings.Builder) (p *play, b *instance, done func()) {
	t.Helper()
	tell := newTeller(out, false, func(err error) { t.Error(err) })
	world := &world{source: shop.NewSource(), sink: shop.NewSink(boottime.Now)}
	p = &play{board: newBoard(), tell: tell, world: world, scenes: []*scene{{}}, start: boottime.Now()}
	a, b := &instance{name: "a"}, &instance{name: "b"}
	world.works = append(world.works, &work{Attachment: shop.Attachment{Instance: "a", Token: token1}})
	p.found(a, nil)
	world.works = append(world.works, &work{Attachment: shop.Attachment{Instance: "b", Token: token9}, open: []int{1, 2, 3, 4, 5}})
	return p, b, tell.close
}

func TestHandOver(t *testing.T) {
	var out strings.Builder
	p, b, done := left(t, &out)
	for id, token := range map[string]string{"2": token1, "3": token1} {
		p.world.sink.Write(shop.Write{ID: id, Token: token})
	}
	p.world.sink.Write(shop.Write{ID: "2", Token: token9}) // refused: a repeat
	p.found(b, []finding{{"1", "price"}, {"2", "publish"}, {"3", "publish"}})
	h := p.handOvers[1]
	if h.complete() {
		t.Error("complete at once")
	}
	p.settled(b, shop.Settlement{ID: "1", Before: "price", Did: shop.DidAll, Answer: shop.Taken})
	p.settled(b, shop.Settlement{ID: "2", Before: "publish", Did: shop.DidPublish, Answer: shop.Repeat})
	p.settled(b, shop.Settlement{ID: "4", Did: shop.DidAck})
	if h.complete() {
		t.Error("complete before the last")
	}
	p.settled(b, shop.Settlement{ID: "3", Before: "publish", Did: shop.DidEnd})
	p.settled(&instance{name: "a"}, shop.Settlement{ID: "9", Did: shop.DidAll}) // too late
	if !h.complete() {
		t.Error("not complete")
	}
	if got, want := h.count(), (HandOver{InFlight: 3, Anew: 1, Again: 1, SinkHad: 1, Closed: 1, Untold: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := p.handOverFaults(); len(got) > 0 {
		t.Errorf("faults: %q", got)
	}
	done()
	for _, want := range []string{
		"b  finds 3 messages in flight\n",
		"b    1 at price: not published; done from the start\n",
		"b    2, publish open: published again; refused, the sink had it\n",
		"b    4 was done: only acknowledged to the source\n",
		"b    3 was published: only closed\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line %q in:\n%s", want, out.String())
		}
	}
}

func TestHandOverFaults(t *testing.T) {
	var out strings.Builder
	p, b, done := left(t, &out)
	defer done()
	p.world.sink.Write(shop.Write{ID: "5", Token: token1})
	p.world.sink.Write(shop.Write{ID: "6", Token: token1})
	p.world.sink.Write(shop.Write{ID: "5", Token: token9})
	p.found(b, nil)
	want := []string{
		"message 5 was published twice, and its publish had not been open",
		"message 5 had been published, and b did not know of it",
	}
	if got := p.handOverFaults(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The longest lines fit, and a long list is cut.
func TestHandOverLines(t *testing.T) {
	var out strings.Builder
	p, b, done := left(t, &out)
	p.start -= 99 * time.Second
	var list []finding
	for range 3 * shown {
		list = append(list, finding{"12345", "validate"})
	}
	p.found(b, list)
	for _, did := range []shop.Deed{shop.DidAll, shop.DidPublish, shop.DidPublish, shop.DidEnd, shop.DidAck} {
		p.settled(b, shop.Settlement{ID: "12345", Before: "validate", Did: did, Answer: shop.Repeat})
		p.settled(b, shop.Settlement{ID: "12345", Before: "validate", Did: did, Answer: shop.Taken})
	}
	for range 3 * shown {
		p.settled(b, shop.Settlement{ID: "12345", Did: shop.DidEnd})
	}
	done()
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != shown+2 {
		t.Errorf("%d lines, want %d:\n%s", n, shown+2, out.String())
	}
}
