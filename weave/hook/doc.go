// Package hook is what woven code calls. `interlok-ha weave` puts a copy of it
// into the woven program, so it needs the standard library only, and little of
// that; orchestrion imports it from here.
//
// Programs that call hooks themselves use package profiler. [Context] joins the
// two: woven steps that run with its context tell that profiler.
//
// All other steps are reported to the instance that started the program, on
// the socket that INTERLOK_HA_SOCKET names (Linux only). Without that variable
// a hook does nothing. Reports are made in the background, in order, many in
// one request; if the instance does not keep up they wait, and when there are
// too many the newest are forgotten. Only a fenced step waits for an answer,
// and does not run without one.
//
// A panic passes a hook untouched, so the report has no more than the word
// "panic". What was not yet reported when the program calls os.Exit, or is
// killed, is lost: 2 ms at most while the instance answers.
package hook
