// Package profiler tells what a program does with its messages: which message
// was taken, which step it has reached, how that step ended. Plugins hear of
// it in batches; the one called failover keeps it where a successor finds it.
// The package needs nothing but the standard library.
//
// Start with [New] and [Profiler.Run]. Make each step once, by
// [Profiler.Workflow], [Profiler.Service], [Profiler.Producer]. Then run it in
// the way that suits the code, all three do the same:
//
//	handle = profiler.Wrap(step, handle)          // a function of a message
//	err := step.Do(ctx, id, func(ctx) error {…})  // a piece of code
//	ctx, span := step.Begin(ctx, id)              // a function from here on
//	defer span.End(&err)
//
// A workflow opens a message. Its steps find the message in the context, or by
// its id when there is no context to hand on. When the workflow ends the
// message does, and what its steps still tell is late and ignored.
//
// # Events
//
// An [Event] is the start of a step or its end. A step that is so short that
// its start has not gone out, and in which no other began, is one event: an
// end that no start came before stands for both. The events of one message
// come in their order; messages are not ordered among each other. Steps of one
// message that run at once are numbered in the order of their starts.
//
// # Fence
//
// A step made with [Fence] runs only after every [Fencer] among the plugins
// agreed. With the failover plugin that is when the slaves in step hold that
// the step has started: a producer so fenced cannot publish anything of which
// a successor knows nothing. The price is a round trip to the slaves for each
// run of the step. A successor learns that the step began, not how it ended:
// handing over is at least once, and exact where producers are fenced and the
// sink takes each id or token once.
//
// # What goes wrong
//
// No hook makes a workflow fail, but for a fence that is not agreed to.
//
//   - A step that panics: told as Panicked with the panic's text. The panic
//     waits until the plugins have heard, 100 ms at most, and goes on with the
//     same value. If nobody recovers it the trace says "[recovered,
//     repanicked]" and still shows where it came from.
//   - A step that calls runtime.Goexit: told as Exited, and not as Completed.
//     [Span.End] says of which short steps it cannot tell.
//   - A plugin that panics, or calls runtime.Goexit: counted and logged; it
//     gets the next batch. That one is lost to it.
//   - A plugin that sleeps: nobody waits for it but, with [Block], the hooks,
//     and these no longer than Patience. From then on it is stuck and its
//     events are dropped when its queue is full, until it wakes up. If it
//     never does, Run leaves its goroutine behind and says so.
//   - A Fencer that waits makes the step wait, for as long as the step's
//     context lives. One that panics has not agreed.
//   - A payload longer than MaxPayload, 10 MiB say: not kept, and counted. The
//     event is told without it. A part of it would be of no use.
//   - An empty id: a workflow gets an id of its own, "unnamed-…", that no other
//     has; Dedupe cannot know it again. Any other step is told as outside of
//     any workflow, and is refused if it is fenced.
//   - An id that is in flight already: both workflows belong to one message,
//     which ends with the last of them. The later one counts as another
//     attempt.
//   - A workflow that never ends: its message stays in flight. Beyond Open such
//     messages, 100000, a new one is not told; its steps run as if hooks were
//     off, and those that are fenced are refused.
//   - A step of a message that has ended: runs and is not told, and is refused if
//     it is fenced.
//   - No room: with [Drop] a step whose start is not told may lack its end too,
//     and a message whose start is not told is not told at all. What was told
//     to have started is told to have ended. A plugin whose queue is full
//     loses all but the ends of workflows, and these when it has lost very
//     many; a [Loser] hears how many, and asks [Profiler.Running].
//
// # Cost
//
// A step, start and end, costs about two readings of the clock and two short
// locks, and allocates nothing. A workflow allocates its message. Allocations
// are also the price of an error's text, of a fenced step and of [Nest]. A nil
// [Profiler] makes nil steps, which cost little more than a call.
//
// # Not promised
//
// Without a fence the last few milliseconds before a crash are not told. An
// event says that a function returned, not that what it did is durable.
package profiler
