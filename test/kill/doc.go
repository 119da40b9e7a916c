// Package kill kills and freezes masters under load, and asks each new master
// what it knows of what the old one published.
//
// The work is that of examples/orders: four workers, and a producer behind a
// fence. After all is over, judge (check.go) goes through the books of the sink
// and the reports of the new masters. Fenced, no message may have been published
// of which the next master did not know; none may be lost; and one may be
// published twice only where the next master found its publish open. With the
// fence off the same test must find messages that break the first rule: it
// fails if it does not, since then it proves nothing.
//
// It works on Linux only.
package kill
