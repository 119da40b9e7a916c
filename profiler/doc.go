// Package profiler tells what a program does with its messages: which message
// was taken, which step it has reached, how that step ended.
package profiler
