// Package otel is a plugin that makes OpenTelemetry spans of a profiler's
// events. Its module is its own, so that only who uses OpenTelemetry depends on
// it. New makes one for a tracer provider of yours. Who imports the package can
// also name the plugin "otel" where plugins are named; it then uses the global
// tracer provider.
//
// # What a span means here
//
// A span is one run of a step, with the step's name, from its start to its end.
// The trace of a message begins with its workflow; the spans of its steps hang
// below it, below the step around them if that nests. Each delivery of a message
// is a trace of its own. When a workflow ends depends on who hooked it: see the
// adapter in use. A step outside of any workflow is a trace of one span.
//
// Failed, Panicked and Exited are errors, with the error's text as description.
// Attributes are messaging.message.id, interlok.step.kind, and where there is
// something to tell interlok.step.instance and interlok.step.attempt. Payloads
// are not exported.
//
// # What it does not do
//
// Events carry no contexts. So a span is not the child of a span that the
// program made itself, nor the parent of one, and no trace goes on in another
// process. Use OpenTelemetry's own instrumentation where that is needed.
//
// Events that the profiler dropped are missing. A step whose end was dropped is
// ended with its workflow. A message whose end was dropped stays open until
// there are too many messages, and is then ended as the oldest; such spans have
// the attribute interlok.lost.
//
// Spans are made on the plugin's own goroutine. With a batching processor they
// do not wait for the exporter.
package otel
