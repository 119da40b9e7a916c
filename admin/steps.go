package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Limits of POST /v1/steps.
const (
	maxStepsBody = 1 << 20 // bytes
	maxSteps     = 1000    // of one request

	busyRetry = time.Second // what Retry-After says
)

// Steps takes the hooks of a workload that is not Go.
type Steps interface {
	// Report takes steps, in order. The start of a fenced producer is taken when
	// its fence is through: until then Report waits, and what is behind it too.
	// It may be called from several goroutines at once; of one message, whoever
	// calls keeps the order.
	//
	// With an error, StepsAnswer.Taken of the steps are taken and the rest not.
	// KindNotMaster; KindBusy: no room now, try again; KindFull: too many
	// messages are open; KindRefused: the step cannot be now; KindNoReplica: no
	// slave could confirm the fence; KindTimeout: none did before ctx ended.
	Report(ctx context.Context, steps []Step) (StepsAnswer, error)
}

// The kinds of a Step.
const (
	StepWorkflow = "workflow"
	StepChannel  = "channel"
	StepConsumer = "consumer"
	StepService  = "service"
	StepProducer = "producer"
)

// The phases of a Step.
const (
	StepStarted   = "started"
	StepCompleted = "completed"
	StepFailed    = "failed"
)

// Step says that a message has begun a step of its way, or ended it.
type Step struct {
	// ID is the message's.
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Step is the step's name; for a workflow that of the workflow.
	Step string `json:"step"`
	// Instance tells steps of one name apart; may be empty.
	Instance string `json:"instance,omitempty"`
	Phase    string `json:"phase"`
	// Error is why it failed.
	Error string `json:"error,omitempty"`
	// Fence, for the start of a producer: the answer comes when the slaves in
	// step know of it, one at least, and this instance is still master.
	Fence bool `json:"fence,omitempty"`
	// Payload, for the start of a workflow, is the message itself. It is kept if
	// failover.profiler.payload says so.
	Payload string `json:"payload,omitempty"`
	// PayloadEncoding is "base64" for a payload that is not UTF-8.
	PayloadEncoding string `json:"payloadEncoding,omitempty"`
}

// RawPayload is the payload as it was; nil if there is none.
func (s Step) RawPayload() ([]byte, error) {
	if s.Payload == "" {
		return nil, nil
	}
	p, err := decodeKey(s.Payload, s.PayloadEncoding)
	return []byte(p), err
}

// StepsAnswer says what became of the steps.
type StepsAnswer struct {
	Taken int `json:"taken"`
	// Late counts those of Taken that told nothing: their message had ended, or
	// had never begun here.
	Late int `json:"late"`
	// Fence is set if one of the steps was fenced.
	Fence *StepsFence `json:"fence,omitempty"`
}

// StepsFence is what the holder of a fence may do.
type StepsFence struct {
	// Token is the fencing token, for a sink that compares it.
	Token string `json:"token"`
	// ForMs is how long this instance was still sure to be master when it
	// answered; publish within.
	ForMs int64 `json:"forMs"`
}

func (a *api) report(w http.ResponseWriter, r *http.Request) error {
	if a.steps == nil {
		return &Error{Kind: KindUnknown, Detail: "this instance takes no steps", Mend: "its hooks are switched off, or it runs without a cache"}
	}
	q, err := readQuery(r, "timeoutMs")
	if err != nil {
		return err
	}
	timeout := q.milliseconds("timeoutMs", putTimeout)
	if q.err != nil {
		return q.err
	}
	b, err := readAll(w, r, maxStepsBody)
	if err != nil {
		return err
	}
	steps, err := parseSteps(b)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	answer, err := a.steps.Report(ctx, steps)
	if err == nil {
		return writeJSON(w, http.StatusOK, "application/json", answer)
	}
	p := problemOf(err)
	p.Taken = &answer.Taken
	if p.Kind == KindBusy {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(busyRetry/time.Second), 10))
	}
	return writeJSON(w, p.Status, "application/problem+json", p)
}
