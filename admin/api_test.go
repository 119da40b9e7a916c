package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// ask gives one request to the handlers.
func ask(node Node, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	newAPI(Config{Node: node}, nil).ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

func TestRoutes(t *testing.T) {
	long := `{"to":"` + strings.Repeat("x", maxBody) + `"}`
	for _, tt := range []struct {
		method, path, body string
		code               int
		order              string // what the node was told, if anything
	}{
		{"GET", "/v1/status", "", 200, ""},
		{"HEAD", "/v1/status", "", 200, ""},
		{"POST", "/v1/status", "", 405, ""},
		{"GET", "/v1/status/", "", 404, ""},
		{"GET", "/dashboard", "", 404, ""},
		{"GET", "/healthz", "", 200, ""},
		{"GET", "/master", "", 200, ""},
		{"GET", "/primary", "", 200, ""},
		{"GET", "/leader", "", 200, ""},
		{"HEAD", "/master", "", 200, ""},
		{"OPTIONS", "/master", "", 200, ""},
		{"POST", "/master", "", 405, ""},
		{"GET", "/slave", "", 503, ""},
		{"GET", "/replica", "", 503, ""},
		{"HEAD", "/slave", "", 503, ""},
		{"OPTIONS", "/replica", "", 503, ""},
		{"GET", "/v1/switchover", "", 405, ""},
		{"POST", "/v1/switchover", "", 200, "switchover "},
		{"POST", "/v1/switchover", "  \n", 200, "switchover "},
		{"POST", "/v1/switchover", `{"to":"c"}`, 200, "switchover c"},
		{"POST", "/v1/switchover", `{"to":"c","timeoutMs":60000}`, 200, "switchover c"},
		{"POST", "/v1/switchover", `{"to":"c","timeoutMs":-1}`, 400, ""},
		{"POST", "/v1/switchover", `{"too":"c"}`, 400, ""},
		{"POST", "/v1/switchover", `{"to":"c"} {}`, 400, ""},
		{"POST", "/v1/switchover", `["c"]`, 400, ""},
		{"POST", "/v1/switchover", `{"to":`, 400, ""},
		{"POST", "/v1/switchover", long, 413, ""},
		{"POST", "/v1/drain", "", 200, "drain"},
		{"POST", "/v1/drain", `{"force":true}`, 200, "drain force"},
		{"POST", "/v1/resume", "", 200, "resume"},
		{"POST", "/v1/resume", `{"force":true}`, 400, ""},
		{"POST", "/v1/promote", `{}`, 200, "promote"},
		{"POST", "/v1/promote", `{"force":true}`, 200, "promote force"},
		{"POST", "/v1/maintenance", `{"on":true,"for":"30m"}`, 200, "maintenance 30m0s"},
		{"POST", "/v1/maintenance", `{"on":false}`, 200, "maintenance 0s"},
		{"POST", "/v1/promote", `{"force":true,"yes":true}`, 200, "promote force"},
		{"POST", "/v1/promote", `{"yes":true}`, 200, "promote"},
		{"POST", "/v1/maintenance", `{"on":true}`, 200, "maintenance 30m0s"},
		{"POST", "/v1/maintenance", `{"on":true,"for":"-1s"}`, 400, ""},
		{"POST", "/v1/maintenance", `{"on":false,"for":"1s"}`, 400, ""},
		{"POST", "/v1/maintenance", `{"on":true,"for":"1176h"}`, 200, "maintenance 1176h0m0s"},
		{"POST", "/v1/maintenance", `{"on":true,"for":"1176h0m0.001s"}`, 400, ""},
		{"POST", "/v1/maintenance", `{"on":true,"for":"9999999h"}`, 400, ""},
	} {
		node := newFakeNode()
		w := ask(node, tt.method, tt.path, tt.body)
		name := tt.method + " " + tt.path + " " + tt.body[:min(len(tt.body), 40)]
		if w.Code != tt.code {
			t.Errorf("%s: status %d, want %d: %s", name, w.Code, tt.code, w.Body)
		}
		want := []string(nil)
		if tt.order != "" {
			want = []string{tt.order}
		}
		if got := node.ordered(); !slices.Equal(got, want) {
			t.Errorf("%s: node was told %q, want %q", name, got, want)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: the answer is no JSON: %s", name, w.Body)
		}
		kind := "application/json"
		if tt.code >= 400 && tt.code != 503 {
			kind = "application/problem+json"
		}
		if got := w.Header().Get("Content-Type"); got != kind {
			t.Errorf("%s: content type %q, want %q", name, got, kind)
		}
	}
}

// What is wrong with a time is said, not only that it is wrong.
func TestParseMaintenance(t *testing.T) {
	const long, none = "is too long", "is no time above zero"
	for _, tt := range []struct{ text, want string }{
		{"1ns", ""}, {"30m", ""}, {"1176h", ""}, {"+1.5h", ""},
		{"1176h0m0.001s", long}, {"1200h", long}, {"2562047h48m", long}, {"9999999h", long}, {"99999999999999999999.9h", long}, {"+9999999h", long},
		{"", none}, {"0", none}, {"0s", none}, {"-1s", none}, {"-9999999h", none}, {"soon", none}, {"9999999", none}, {"99999999999999999999x", none},
	} {
		d, err := ParseMaintenance(tt.text)
		if tt.want == "" {
			if err != nil || d <= 0 {
				t.Errorf("%q: got %v, %v", tt.text, d, err)
			}
			continue
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindUsage || !strings.Contains(e.Detail, tt.want) || e.Mend == "" || d != 0 {
			t.Errorf("%q: got %v, %v, want %q", tt.text, d, err, tt.want)
		}
	}
	w := ask(newFakeNode(), http.MethodPost, "/v1/maintenance", `{"on":true,"for":"9999999h"}`)
	if !strings.Contains(w.Body.String(), "too long") {
		t.Errorf("got %s", w.Body)
	}
}

func TestSlaveRoutes(t *testing.T) {
	node := newFakeNode()
	node.status.Instance.Role = RoleSlave
	for path, want := range map[string]int{"/master": 503, "/primary": 503, "/leader": 503, "/slave": 200, "/replica": 200, "/healthz": 200} {
		if got := ask(node, "GET", path, "").Code; got != want {
			t.Errorf("%s of a slave: %d, want %d", path, got, want)
		}
	}
}

// The JSON of a status is fixed; see the package comment.
func TestStatusGolden(t *testing.T) {
	full, bare := newFakeNode(), newFakeNode()
	bare.status = Status{Cluster: "c", Instance: Instance{Name: "w", Role: RoleSlave, State: StateListening}}
	golden(t, "status.golden", ask(full, "GET", "/v1/status", "").Body.String()+ask(bare, "GET", "/v1/status", "").Body.String())
}

func TestProblemGolden(t *testing.T) {
	var text strings.Builder
	for _, fail := range []error{
		&Error{Kind: KindNotMaster, Detail: "master is b on 192.0.2.7", Mend: "run it there"},
		&Error{Kind: KindUnknown, Detail: "no instance is named z"},
		&Error{Kind: KindIneligible, Detail: "w is a witness", Mend: "choose another with --to"},
		&Error{Kind: KindTimeout, Detail: "no heartbeat of b after 5s"},
		errors.New("something odd"),
		&Error{Kind: "a kind of its own", Detail: "x"},
	} {
		node := newFakeNode()
		node.fail = fail
		text.WriteString(ask(node, "POST", "/v1/switchover", "").Body.String())
	}
	text.WriteString(ask(newFakeNode(), "DELETE", "/v1/drain", "").Body.String())
	text.WriteString(ask(newFakeNode(), "GET", "/v2", "").Body.String())
	golden(t, "problems.golden", text.String())
}

type panicNode struct{ *fakeNode }

func (panicNode) Status() Status { panic("a fault of the node") }

func TestPanicIsAnAnswer(t *testing.T) {
	w := ask(panicNode{newFakeNode()}, http.MethodGet, "/v1/status", "")
	if w.Code != 500 || strings.Contains(w.Body.String(), "a fault of the node") {
		t.Errorf("got %d %s, want 500 and no inner text", w.Code, w.Body)
	}
}

// golden compares with testdata/name. UPDATE_GOLDEN=1 writes it: read the diff
// before you commit it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", file, got, want)
	}
}

// deadlineWriter notes what deadline there was when something was written.
type deadlineWriter struct {
	httptest.ResponseRecorder
	deadline, written time.Time
}

func (w *deadlineWriter) SetWriteDeadline(d time.Time) error {
	w.deadline = d
	return nil
}

func (w *deadlineWriter) Write(b []byte) (int, error) {
	w.written = w.deadline
	return len(b), nil
}

// An answer that nobody takes is given up.
func TestAnswerHasDeadline(t *testing.T) {
	w, began := &deadlineWriter{}, time.Now()
	writeBytes(w, http.StatusOK, "text/plain", []byte("x"))
	if d := w.written; d.Before(began.Add(writeTimeout)) || d.After(time.Now().Add(writeTimeout)) {
		t.Errorf("it is written until %v, want %v from now", d, writeTimeout)
	}
}
