package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeSteps takes steps until one whose name is in fail.
type fakeSteps struct {
	mu    sync.Mutex // guards the rest
	taken []Step
	fail  map[string]error
	fence *StepsFence
}

var _ Steps = (*fakeSteps)(nil)

func (f *fakeSteps) Report(ctx context.Context, steps []Step) (a StepsAnswer, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range steps {
		if s.Step == "slow" {
			<-ctx.Done()
			return a, ctx.Err()
		}
		if err := f.fail[s.Step]; err != nil {
			return a, err
		}
		f.taken = append(f.taken, s)
		a.Taken++
		if s.Step == "late" {
			a.Late++
		}
		if s.Fence {
			a.Fence = f.fence
		}
	}
	return a, nil
}

func postSteps(steps Steps, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	newAPI(Config{Node: newFakeNode(), Steps: steps}, nil).ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
	return w
}

const oneStep = `{"id":"m-1","kind":"service","step":"validate","phase":"started"}`

func TestSteps(t *testing.T) {
	for _, tt := range []struct {
		name, body, answer string
		want               []Step
	}{
		{"one", oneStep, `{"taken":1,"late":0}`, []Step{{ID: "m-1", Kind: StepService, Step: "validate", Phase: StepStarted}}},
		{"white space", " \n" + oneStep + "\n", `{"taken":1,"late":0}`, []Step{{ID: "m-1", Kind: StepService, Step: "validate", Phase: StepStarted}}},
		{"none", "[]", `{"taken":0,"late":0}`, nil},
		{"several, every field", `[
			{"id":"m-\u00e9","kind":"workflow","step":"orders","instance":"2","phase":"started","payload":"AP8=","payloadEncoding":"base64"},
			{"phase":"started","fence":true,"step":"publish","kind":"producer","id":"m-é"},
			{"id":"m-é","kind":"producer","step":"publish","phase":"failed","error":"no\nroom","fence":false},
			{"id":"x","kind":"consumer","step":"late","phase":"completed"},
			{"id":"x","kind":"channel","step":"c","phase":"completed","error":"","payload":""}]`,
			`{"taken":5,"late":1,"fence":{"token":"00-aa","forMs":2300}}`,
			[]Step{
				{ID: "m-é", Kind: StepWorkflow, Step: "orders", Instance: "2", Phase: StepStarted, Payload: "AP8=", PayloadEncoding: "base64"},
				{ID: "m-é", Kind: StepProducer, Step: "publish", Phase: StepStarted, Fence: true},
				{ID: "m-é", Kind: StepProducer, Step: "publish", Phase: StepFailed, Error: "no\nroom"},
				{ID: "x", Kind: StepConsumer, Step: "late", Phase: StepCompleted},
				{ID: "x", Kind: StepChannel, Step: "c", Phase: StepCompleted},
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fakeSteps{fence: &StepsFence{Token: "00-aa", ForMs: 2300}}
			w := postSteps(f, "/v1/steps", tt.body)
			if got := strings.TrimSpace(w.Body.String()); w.Code != 200 || got != tt.answer {
				t.Errorf("%d %s, want %s", w.Code, got, tt.answer)
			}
			if !reflect.DeepEqual(f.taken, tt.want) {
				t.Errorf("taken\n%v, want\n%v", f.taken, tt.want)
			}
		})
	}
}

// TestStepsRefused has bodies that make no sense: nothing of them is taken, and
// the error names the place.
func TestStepsRefused(t *testing.T) {
	with := func(more string) string { return strings.TrimSuffix(oneStep, "}") + "," + more + "}" }
	second := func(bad string) string { return "[" + oneStep + ",\n " + bad + "]" }
	started := `{"id":"m","kind":"producer","step":"p","phase":"completed"`
	for _, tt := range []struct {
		name, body string
		code       int
		says, mend string
	}{
		{"nothing", "", 400, "the body is empty", `such as {\"id\":\"m-1\"`},
		{"white space", " \n", 400, "the body is empty", ""},
		{"text", `"started"`, 400, "neither a JSON object nor an array", "array of steps"},
		{"null", `null`, 400, "neither a JSON object nor an array", ""},
		{"no JSON", "[" + oneStep + ",\n  oops]", 400, "line 2, column 3: the body is no JSON: invalid character 'o'", ""},
		{"cut off", "[" + oneStep + ",\n{\"id\":", 400, "line 2, column 6: the body is no JSON: unexpected end", ""},
		{"array cut off", "[" + oneStep, 400, "the body is no JSON: unexpected end", ""},
		{"two objects", oneStep + "\n" + oneStep, 400, "line 2, column 1: the body is no JSON: invalid character '{' after top-level value", "one array"},
		{"bracket for brace", `{"id":"m"]`, 400, "the body is no JSON", ""},
		{"not UTF-8", with(`"error":"` + "\xff" + `"`), 400, "not UTF-8", "payloadEncoding"},
		{"array in array", second("[]"), 400, "steps[1] is no JSON object", ""},
		{"unknown field", second(with(`"stepp":"x"`)), 400, `steps[1].\"stepp\": no such field`, "known are: id, kind, step, instance, phase, error, fence, payload, payloadEncoding"},
		{"other letters", with(`"ID":"x"`), 400, `\"ID\": no such field`, ""},
		{"twice", second(with(`"id":"x"`)), 400, "steps[1].id is given twice", ""},
		{"number for text", second(`{"id":17}`), 400, "steps[1].id is no string", ""},
		{"null for text", `{"id":null}`, 400, "id is no string", ""},
		{"object for text", `{"id":{"id":"x"}}`, 400, "id is no string", ""},
		{"text for fence", with(`"fence":"yes"`), 400, "fence is neither true nor false", ""},
		{"no kind", second(`{"id":"m","step":"s","phase":"started"}`), 400, "steps[1].kind is missing", "write one of: workflow, channel, consumer, service, producer"},
		{"bad kind", second(`{"id":"m","kind":"SERVICE","step":"s","phase":"started"}`), 400, `steps[1].kind is \"SERVICE\"`, "service, producer (in lower case)"},
		{"no phase", `{"id":"m","kind":"service","step":"s"}`, 400, "phase is missing", "started, completed, failed"},
		{"bad phase", `{"id":"m","kind":"service","step":"s","phase":"done"}`, 400, `phase is \"done\"`, "started, completed, failed"},
		{"no id", second(`{"kind":"service","step":"s","phase":"started"}`), 400, "steps[1].id is missing or empty", ""},
		{"empty id", `{"id":"","kind":"service","step":"s","phase":"started"}`, 400, "id is missing or empty", ""},
		{"no step", `{"id":"m","kind":"service","phase":"started"}`, 400, "step is missing or empty", ""},
		{"long id", second(`{"id":"` + strings.Repeat("x", 1025) + `","kind":"service","step":"s","phase":"started"}`), 413, "steps[1].id has more than 1024 bytes", ""},
		{"error without failure", with(`"error":"x"`), 400, "error is given, and the step did not fail", ""},
		{"fence of a service", with(`"fence":true`), 400, "fence is for the start of a producer", ""},
		{"fence of an end", started + `,"fence":true}`, 400, "fence is for the start of a producer", ""},
		{"payload of a service", with(`"payload":"x"`), 400, "payload is for the start of a workflow", ""},
		{"bad encoding", `{"id":"m","kind":"workflow","step":"s","phase":"started","payload":"x","payloadEncoding":"hex"}`, 400, `payloadEncoding is \"hex\"`, "base64"},
		{"bad base64", `{"id":"m","kind":"workflow","step":"s","phase":"started","payload":"?","payloadEncoding":"base64"}`, 400, "payload is no base64", ""},
		{"too many", "[" + strings.Repeat(oneStep+",", maxSteps) + oneStep + "]", 413, "more than 1000 steps", "request of its own"},
		{"too large", `{"id":"m","kind":"workflow","step":"s","phase":"started","payload":"` + strings.Repeat("x", maxStepsBody) + `"}`, 413, "more than 1048576 bytes", ""},
		{"deep", strings.Repeat("[", 100_000), 400, "exceeded max depth", ""},
		{"deep in a step", second(`{"id":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}"), 400, "steps[1].id is no string", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fakeSteps{}
			w := postSteps(f, "/v1/steps", tt.body)
			got := w.Body.String()
			if w.Code != tt.code || !strings.Contains(got, tt.says) || !strings.Contains(got, tt.mend) {
				t.Errorf("%d %s, want %d %s %s", w.Code, got, tt.code, tt.says, tt.mend)
			}
			if len(f.taken) > 0 {
				t.Errorf("%d were taken of a body that makes no sense", len(f.taken))
			}
		})
	}
}

// TestStepsFail has the instance take some and no more.
func TestStepsFail(t *testing.T) {
	body := `[` + oneStep + `,` + strings.Replace(oneStep, "validate", "bad", 1) + `,` + oneStep + `]`
	for _, tt := range []struct {
		kind  Kind
		code  int
		retry string
	}{
		{KindBusy, 429, "1"}, {KindNotMaster, 409, ""}, {KindFull, 503, ""}, {KindNoReplica, 503, ""}, {KindRefused, 409, ""}, {KindTimeout, 504, ""},
	} {
		f := &fakeSteps{fail: map[string]error{"bad": &Error{Kind: tt.kind, Detail: "it is so", Mend: "do this"}}}
		w := postSteps(f, "/v1/steps", body)
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if w.Code != tt.code || p.Status != tt.code || p.Kind != tt.kind || p.Taken == nil || *p.Taken != 1 || w.Header().Get("Retry-After") != tt.retry {
			t.Errorf("%s: %d, Retry-After %q, %s", tt.kind, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
	// The first one fails: 0 is said, not left out.
	f := &fakeSteps{fail: map[string]error{"validate": &Error{Kind: KindBusy, Detail: "x"}}}
	if w := postSteps(f, "/v1/steps", body); !strings.Contains(w.Body.String(), `"taken":0`) {
		t.Errorf("no taken in %s", w.Body)
	}
}

func TestStepsRoute(t *testing.T) {
	if w := postSteps(nil, "/v1/steps", oneStep); w.Code != 404 || !strings.Contains(w.Body.String(), "takes no steps") {
		t.Errorf("without hooks: %d %s", w.Code, w.Body)
	}
	for path, says := range map[string]string{
		"/v1/steps?timeout=5":    "not known here",
		"/v1/steps?timeoutMs=0":  "milliseconds above zero",
		"/v1/steps?timeoutMs=no": "milliseconds above zero",
	} {
		if w := postSteps(&fakeSteps{}, path, oneStep); w.Code != 400 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	slow := strings.Replace(oneStep, "validate", "slow", 1)
	if w := postSteps(&fakeSteps{}, "/v1/steps?timeoutMs=1", slow); w.Code != 504 {
		t.Errorf("a fence that takes too long: %d %s", w.Code, w.Body)
	}
	w := httptest.NewRecorder()
	newAPI(Config{Node: newFakeNode(), Steps: &fakeSteps{}}, nil).ServeHTTP(w, httptest.NewRequest("GET", "/v1/steps", nil))
	if w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

// TestClientReport goes through a real socket, there and back.
func TestClientReport(t *testing.T) {
	f := &fakeSteps{fence: &StepsFence{Token: "00-aa", ForMs: 7}, fail: map[string]error{"bad": &Error{Kind: KindBusy, Detail: "no room", Mend: "wait"}}}
	path, _ := serve(t, newFakeNode(), func(s *Server) { s.cfg.Steps = f })
	c := NewClient(path)
	begun := Step{ID: "m", Kind: StepWorkflow, Step: "w", Phase: StepStarted}
	begun.SetPayload([]byte{0xff, 0})
	plain := begun
	plain.SetPayload([]byte("text"))
	publish := Step{ID: "m", Kind: StepProducer, Step: "p", Phase: StepStarted, Fence: true}
	a, err := c.Report(t.Context(), time.Second, begun, plain, publish)
	if err != nil || a.Taken != 3 || a.Fence == nil || *a.Fence != *f.fence {
		t.Fatalf("%+v, %v", a, err)
	}
	for i, want := range []string{"\xff\x00", "text", ""} {
		if p, err := f.taken[i].RawPayload(); err != nil || string(p) != want {
			t.Errorf("payload %d: %q %v, want %q", i, p, err, want)
		}
	}
	publish.Step, publish.Fence = "bad", false
	a, err = c.Report(t.Context(), 0, begun, publish, begun)
	e, _ := errors.AsType[*Error](err)
	if a.Taken != 1 || e == nil || e.Kind != KindBusy || e.Taken != 1 || e.Mend != "wait" {
		t.Errorf("%+v, %#v", a, err)
	}
	before := len(f.taken)
	if _, err := c.Report(t.Context(), 0, Step{ID: "\xff", Kind: StepService, Step: "s", Phase: StepStarted}); KindOf(err) != KindUsage || len(f.taken) != before {
		t.Errorf("an id that JSON cannot hold: %v", err)
	}
	if _, err := c.Report(t.Context(), 0); err != nil {
		t.Errorf("no steps: %v", err)
	}
}

func FuzzSteps(f *testing.F) {
	for _, s := range []string{oneStep, "[" + oneStep + "]", "", "{", `[{"id":`, `{"id":"m","kind":"producer","step":"p","phase":"started","fence":true}`, "7E999999999", `{"id":7E999999999}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		steps, err := parseSteps(b)
		if err != nil {
			if KindOf(err) != KindUsage && KindOf(err) != KindTooLarge {
				t.Fatalf("%v", err)
			}
			return
		}
		// What was read is JSON to others too, and means the same there.
		var other any
		if err := json.Unmarshal(b, &other); err != nil {
			t.Fatalf("%q is no JSON: %v", b, err)
		}
		again, err := json.Marshal(append([]Step{}, steps...))
		if err != nil {
			t.Fatal(err)
		}
		second, err := parseSteps(again)
		if err != nil || len(second) != len(steps) || len(steps) > 0 && !reflect.DeepEqual(steps, second) {
			t.Fatalf("%q: %v, %v", again, second, err)
		}
	})
}
