// Package hooks measures what one step costs, start and end together, with our
// hooks and with what else people use to see their steps: zerolog, slog,
// Prometheus, OpenTelemetry. All run side by side in one process, so that they
// share the machine's mood. It is a module of its own: nobody who uses the
// hooks downloads their peers.
//
//	go test -v -measure
//
// What is measured is the CPU time of the whole process, with all that works
// in the background. Not measured: disks and networks. All that is written is
// thrown away.
package hooks
