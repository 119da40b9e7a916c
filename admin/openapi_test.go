package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/mirror"
)

// openapi.json is made from the table below and from the types of the answers:
// UPDATE_GOLDEN=1 writes it. The tests hold it against the handlers.

type (
	object = map[string]any

	// operation is one method of one path, and how it is tried.
	operation struct {
		path, summary string
		methods       string // the first is described, the others answer alike
		params        []string
		body          any         // type of the request's body; nil: none
		answers       map[int]any // type of the body by status
		kind          string      // content type of them; empty: JSON
		tries         []try
	}
	// try is a request with the status it should have; an error may have any.
	try struct {
		target, body string
		want         int
	}
)

// Types that stand for themselves in the table of operations.
type (
	anyBytes    struct{}
	metricsText struct{}
)

var parameters = map[string]object{
	"after":         {"description": "only keys behind this one: next of the page before", "schema": object{"type": "string"}},
	"afterEncoding": {"description": "base64 if after is given so", "schema": object{"type": "string", "enum": []string{"base64"}}},
	"limit":         {"description": "entries of a page", "schema": object{"type": "integer", "minimum": 1, "maximum": maxPage, "default": defaultPage}},
	"state":         {"description": "only entries of this state", "schema": object{"type": "string", "enum": []string{"in-flight", "done", "failed"}}},
	"workflow":      {"description": "only messages of this workflow", "schema": object{"type": "string"}},
	"orphans":       {"description": "what deposed masters left, instead of the entries", "schema": object{"type": "boolean"}},
	"watch":         {"description": "stream what changes from now on, as CacheChange a line; takes no other parameter", "schema": object{"type": "boolean"}},
	"orphan":        {"description": "the newest orphan of that key instead; of DELETE: all of them", "schema": object{"type": "boolean"}},
	"inFlight":      {"description": "the entry is neither evicted nor expires", "schema": object{"type": "boolean"}},
	"timeoutMs":     {"description": "how long it may take", "schema": object{"type": "integer", "minimum": 1, "default": int(putTimeout / time.Millisecond)}},
	"cache":         {"description": "name of a cache; FAILOVER_CACHE if left out", "schema": object{"type": "string"}},
}

const (
	probes   = "GET HEAD OPTIONS"
	reads    = "GET HEAD"
	ndjson   = "application/x-ndjson"
	problems = "application/problem+json"
)

var operations = []operation{
	{path: "/v1/status", methods: reads, summary: "What the instance knows now", answers: map[int]any{200: Status{}}, tries: []try{{"/v1/status", "", 200}}},
	{path: "/v1/events", methods: "GET", summary: "Events as they happen, one JSON object a line, the present state first; server-sent events when Accept says text/event-stream. 503 with Retry-After: too many read streams",
		answers: map[int]any{200: Event{}}, kind: ndjson, tries: []try{{"/v1/events", "", 200}}},
	{path: "/v1/cache", methods: reads, summary: "The caches, and how complete they are here", answers: map[int]any{200: CacheStats{}},
		tries: []try{{"/v1/cache", "", 200}, {"/v1/cache?x=1", "", 400}}},
	{path: "/v1/cache/{cache}", methods: reads, summary: "Entries by key, a page at a time", params: []string{"after", "afterEncoding", "limit", "state", "workflow", "orphans", "watch"},
		answers: map[int]any{200: CachePage{}}, tries: []try{{"/v1/cache/FAILOVER_CACHE", "", 200}, {"/v1/cache/FAILOVER_CACHE?limit=1&state=in-flight&workflow=w&after=a", "", 200},
			{"/v1/cache/FAILOVER_CACHE?orphans=true", "", 200}, {"/v1/cache/FAILOVER_CACHE?limit=0", "", 400}, {"/v1/cache/none", "", 404}}},
	{path: "/v1/cache/{cache}/{key}", methods: reads, summary: "One entry and its value; the bare value when Accept says application/octet-stream", params: []string{"orphan"},
		answers: map[int]any{200: CacheItem{}}, tries: []try{{"/v1/cache/FAILOVER_CACHE/KEY", "", 200}, {"/v1/cache/FAILOVER_CACHE/nobody", "", 404}}},
	{path: "/v1/cache/{cache}/{key}", methods: "PUT", summary: "Write an entry; the body is the value", params: []string{"inFlight", "timeoutMs"}, body: anyBytes{},
		answers: map[int]any{200: written{}}, tries: []try{{"/v1/cache/FAILOVER_CACHE/new?inFlight=true&timeoutMs=100", "value", 200}, {"/v1/cache/FAILOVER_CACHE/new?timeoutMs=0", "value", 400}}},
	{path: "/v1/cache/{cache}/{key}", methods: "DELETE", summary: "Remove an entry, or the orphans of a key", params: []string{"orphan", "timeoutMs"},
		answers: map[int]any{200: written{}}, tries: []try{{"/v1/cache/FAILOVER_CACHE/KEY", "", 200}, {"/v1/cache/FAILOVER_CACHE/nobody", "", 404}}},
	{path: "/v1/in-flight", methods: reads, summary: "Messages in flight: which steps are open, what may be out", params: []string{"cache", "after", "afterEncoding", "limit", "workflow"},
		answers: map[int]any{200: CachePage{}}, tries: []try{{"/v1/in-flight", "", 200}, {"/v1/in-flight?state=done", "", 400}}},
	{path: "/v1/steps", methods: "POST", summary: "What a workload does with its messages: one step or an array of them. 429 with Retry-After: no room now", params: []string{"timeoutMs"}, body: []Step{},
		answers: map[int]any{200: StepsAnswer{}}, tries: []try{{"/v1/steps", oneStep, 200}, {"/v1/steps", "[" + oneStep + "]", 200}, {"/v1/steps", "{}", 400}}},
	{path: "/v1/switchover", methods: "POST", summary: "Hand mastership over, and wait for the new master", body: switchoverBody{},
		answers: map[int]any{200: switchoverAnswer{}}, tries: []try{{"/v1/switchover", `{"to":"b","timeoutMs":5000}`, 200}, {"/v1/switchover", "", 200}, {"/v1/switchover", "[]", 400}}},
	{path: "/v1/drain", methods: "POST", summary: "Give the role up and stay out until resume", body: forceBody{}, answers: map[int]any{200: Status{}}, tries: []try{{"/v1/drain", `{"force":true}`, 200}}},
	{path: "/v1/resume", methods: "POST", summary: "End drain", answers: map[int]any{200: Status{}}, tries: []try{{"/v1/resume", "", 200}, {"/v1/resume", `{"x":1}`, 400}}},
	{path: "/v1/promote", methods: "POST", summary: "Claim mastership; with force also without the votes it needs. yes is ignored", body: promoteBody{}, answers: map[int]any{200: Status{}}, tries: []try{{"/v1/promote", `{"force":true,"yes":true}`, 200}}},
	{path: "/v1/maintenance", methods: "POST", summary: "Nobody claims for a while, in the whole cluster, " + DefaultMaintenance + " unless for says otherwise; or end that", body: maintenanceBody{},
		answers: map[int]any{200: Status{}}, tries: []try{{"/v1/maintenance", `{"on":true,"for":"30m"}`, 200}, {"/v1/maintenance", `{"on":true}`, 200}, {"/v1/maintenance", `{}`, 400}}},
	{path: "/v1/openapi.json", methods: reads, summary: "This document", answers: map[int]any{200: object{}}, tries: []try{{"/v1/openapi.json", "", 200}}},
	{path: "/metrics", methods: reads, summary: "Numbers for Prometheus", answers: map[int]any{200: metricsText{}}, kind: MetricsType, tries: []try{{"/metrics", "", 200}}},
	{path: "/healthz", methods: probes, summary: "200 while the instance answers", answers: map[int]any{200: probeAnswer{}}, tries: []try{{"/healthz", "", 200}}},
	{path: "/readyz", methods: probes, summary: "200 if it works as master, or could take over now as a slave; else 503, and why: a witness, a failing health check, maintenance, no master known, a copy that is not complete", answers: map[int]any{200: probeAnswer{}, 503: probeAnswer{}}, tries: []try{{"/readyz", "", 200}}},
	{path: "/master", methods: probes, summary: "200 if it is master, else 503", answers: map[int]any{200: probeAnswer{}, 503: probeAnswer{}}, tries: []try{{"/master", "", 200}}},
	{path: "/primary", methods: probes, summary: "As /master", answers: map[int]any{200: probeAnswer{}, 503: probeAnswer{}}, tries: []try{{"/primary", "", 200}}},
	{path: "/leader", methods: probes, summary: "As /master", answers: map[int]any{200: probeAnswer{}, 503: probeAnswer{}}, tries: []try{{"/leader", "", 200}}},
	{path: "/slave", methods: probes, summary: "200 if it is a slave, else 503", answers: map[int]any{200: probeAnswer{}, 503: probeAnswer{}}, tries: []try{{"/slave", "", 503}}},
	{path: "/", methods: reads, summary: "The dashboard, for people", answers: map[int]any{200: metricsText{}}, kind: dashboardTypes["/"], tries: []try{{"/", "", 200}}},
	{path: "/dashboard.css", methods: reads, summary: "How it looks", answers: map[int]any{200: metricsText{}}, kind: dashboardTypes["/dashboard.css"], tries: []try{{"/dashboard.css", "", 200}}},
	{path: "/dashboard.js", methods: reads, summary: "What it does", answers: map[int]any{200: metricsText{}}, kind: dashboardTypes["/dashboard.js"], tries: []try{{"/dashboard.js", "", 200}}},
	{path: "/replica", methods: probes, summary: "As /slave", answers: map[int]any{200: probeAnswer{}, 503: probeAnswer{}}, tries: []try{{"/replica", "", 503}}},
}

// enums are the words that a field may hold, where the list is closed.
var enums = map[string][]string{
	"Instance.role": {RoleMaster, RoleSlave}, "Peer.role": {RoleMaster, RoleSlave}, "Event.role": {RoleMaster, RoleSlave}, "CacheStats.role": {RoleMaster, RoleSlave},
	"Instance.state": {StateListening, StateSlave, StateClaiming, StateMaster, StateDraining, StateDrained, StateMaintenance, StateFault},
	"Step.kind":      {StepWorkflow, StepChannel, StepConsumer, StepService, StepProducer}, "Step.phase": {StepStarted, StepCompleted, StepFailed},
}

// schemas collects the types that are met.
type schemas map[string]object

func nameOf(t reflect.Type) string { return strings.ToUpper(t.Name()[:1]) + t.Name()[1:] }

func (all schemas) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[anyBytes]():
		return object{"type": "string", "format": "binary"}
	case reflect.TypeFor[metricsText]():
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint32:
		return object{"type": "integer", "format": "int64"}
	case reflect.Uint64:
		return object{"type": "integer", "format": "int64", "minimum": 0}
	case reflect.Slice:
		return object{"type": "array", "items": all.of(t.Elem())}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return object{"type": "object"}
		}
		return object{"type": "object", "additionalProperties": all.of(t.Elem())}
	case reflect.Pointer:
		s := all.of(t.Elem())
		if _, ok := s["$ref"]; ok {
			return object{"nullable": true, "allOf": []object{s}}
		}
		s["nullable"] = true
		return s
	case reflect.Struct:
		name := nameOf(t)
		if _, met := all[name]; !met {
			all[name] = object{}
			properties, required := object{}, []string{}
			all.fields(t, name, properties, &required)
			all[name] = object{"type": "object", "properties": properties}
			if len(required) > 0 {
				slices.Sort(required)
				all[name]["required"] = required
			}
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	panic("no schema for " + t.String())
}

func (all schemas) fields(t reflect.Type, name string, properties object, required *[]string) {
	for f := range t.Fields() {
		if f.Anonymous {
			all.fields(f.Type, name, properties, required)
			continue
		}
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		t := f.Type
		if options == "omitempty" && t.Kind() == reflect.Pointer {
			t = t.Elem() // left out rather than null
		}
		s := all.of(t)
		if words := enums[name+"."+tag]; words != nil {
			s["enum"] = words
		}
		properties[tag] = s
		if options != "omitempty" {
			*required = append(*required, tag)
		}
	}
}

// document makes the OpenAPI document.
func document() object {
	all, paths := schemas{}, object{}
	problem := object{"description": "What went wrong, RFC 9457", "content": object{problems: object{"schema": all.of(reflect.TypeFor[Problem]())}}}
	for _, op := range operations {
		item, _ := paths[op.path].(object)
		if item == nil {
			item = object{}
			paths[op.path] = item
		}
		var params []object
		for rest := op.path; ; {
			_, after, ok := strings.Cut(rest, "{")
			if !ok {
				break
			}
			name, tail, _ := strings.Cut(after, "}")
			params, rest = append(params, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}}), tail
		}
		for _, name := range op.params {
			p := object{"name": name, "in": "query"}
			for k, v := range parameters[name] {
				p[k] = v
			}
			params = append(params, p)
		}
		for i, method := range strings.Fields(op.methods) {
			responses := object{"default": problem}
			for code, body := range op.answers {
				content := object{"schema": all.of(reflect.TypeOf(body))}
				answer := object{"description": http.StatusText(code), "content": object{kindOf(op): content}}
				if op.kind == ndjson {
					answer["content"].(object)["text/event-stream"] = object{"schema": object{"type": "string"}}
				}
				if op.path == "/v1/cache/{cache}" {
					answer["content"].(object)[ndjson] = object{"schema": all.of(reflect.TypeFor[CacheChange]())}
				}
				if op.path == "/v1/cache/{cache}/{key}" && op.methods == reads {
					answer["content"].(object)["application/octet-stream"] = object{"schema": object{"type": "string", "format": "binary"}}
				}
				if method == http.MethodHead {
					delete(answer, "content")
				}
				responses[fmt.Sprint(code)] = answer
			}
			summary := op.summary
			if i > 0 {
				summary = "As GET" + map[string]string{http.MethodHead: ", without the body"}[method]
			}
			o := object{"operationId": operationID(method, op.path), "summary": summary, "responses": responses}
			if len(params) > 0 {
				o["parameters"] = params
			}
			if op.body != nil {
				kind := "application/json"
				if op.body == any(anyBytes{}) {
					kind = "application/octet-stream"
				}
				o["requestBody"] = object{"content": object{kind: object{"schema": all.of(reflect.TypeOf(op.body))}}}
				if op.path == "/v1/steps" {
					one := object{"oneOf": []object{all.of(reflect.TypeFor[Step]()), all.of(reflect.TypeOf(op.body))}}
					o["requestBody"] = object{"required": true, "content": object{kind: object{"schema": one}}}
				}
			}
			switch {
			case !safe(method):
				o["security"] = []object{{"token": []string{}}}
			case !public[op.path]:
				o["security"] = []object{{}, {"token": []string{}}}
			}
			item[strings.ToLower(method)] = o
		}
	}
	return object{
		"openapi": "3.0.3",
		"info": object{"title": "interlok-ha", "version": "1", "license": object{"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
			"description": "One instance of interlok-ha: who is master, orders, and the cache. Fields may be added to answers.\n\n" +
				"On the Unix socket the kernel says who asks, and no token is needed. Over TCP the token of failover.admin.token.file is needed for what changes state, " +
				"and on an address that is not loopback also for the cache, the messages in flight and the events; a POST needs Content-Type: application/json, also without a body."},
		"servers":    []object{{"url": "/"}},
		"paths":      paths,
		"components": object{"schemas": all, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}},
	}
}

func kindOf(op operation) string {
	if op.kind == "" {
		return "application/json"
	}
	return op.kind
}

func operationID(method, path string) string {
	id := strings.ToLower(method)
	for _, word := range strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("/{}-.", r) }) {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

// The document is what the types and the table say.
func TestOpenAPIGolden(t *testing.T) {
	b, err := json.MarshalIndent(document(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, '\n')
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile("openapi.json", b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b) {
		t.Error("openapi.json is not what the types say: run UPDATE_GOLDEN=1 go test ./admin -run OpenAPI, and read the difference")
	}
}

// parsed is the document as a reader has it.
func parsed(t *testing.T) object {
	t.Helper()
	var doc object
	if err := json.Unmarshal(openAPIDocument, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

var everyMethod = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"}

// described are the methods of the document's paths.
func described(doc object) map[string][]string {
	all := map[string][]string{}
	for path, item := range doc["paths"].(object) {
		for method := range item.(object) {
			all[path] = append(all[path], strings.ToUpper(method))
		}
		slices.Sort(all[path])
	}
	return all
}

// Each route is in the document with its methods, and nothing else is.
func TestOpenAPIRoutes(t *testing.T) {
	doc, a := described(parsed(t)), newAPI(Config{Node: newFakeNode(), Caches: newFakeCaches()}, nil)
	routes := map[string]route{}
	for path, r := range a.routes {
		routes[path] = r
	}
	for path, target := range map[string]string{"/v1/cache/{cache}": "/v1/cache/x", "/v1/cache/{cache}/{key}": "/v1/cache/x/y"} {
		r, ok := a.cacheRoute(httptest.NewRequest("GET", target, nil).URL)
		if !ok {
			t.Fatalf("no route for %s", target)
		}
		routes[path] = r
	}
	for path, r := range routes {
		var methods []string
		for m := range r {
			methods = append(methods, m)
		}
		slices.Sort(methods)
		if !slices.Equal(methods, doc[path]) {
			t.Errorf("%s: handlers for %v, described %v", path, methods, doc[path])
		}
	}
	for path := range doc {
		if routes[path] == nil {
			t.Errorf("%s is described, and there is no handler", path)
		}
	}
}

// Each method of each path answers as described, and those that are not
// described are refused.
func TestOpenAPIAnswers(t *testing.T) {
	doc := parsed(t)
	methods := described(doc)
	tried := map[string]bool{}
	for _, op := range operations {
		for _, method := range everyMethod {
			for _, try := range op.tries {
				own := slices.Contains(strings.Fields(op.methods), method)
				if !own && slices.Contains(methods[op.path], method) {
					continue // another operation of the path
				}
				ctx, cancel := context.WithCancel(t.Context())
				w := httptest.NewRecorder()
				r := httptest.NewRequest(method, try.target, strings.NewReader(try.body)).WithContext(ctx)
				if op.kind == ndjson {
					cancel() // it would go on
				}
				newAPI(Config{Node: fullNode(), Caches: fullCaches(t), Steps: &fakeSteps{}}, nil).ServeHTTP(w, r)
				cancel()
				name := method + " " + try.target
				if !own {
					if w.Code != http.StatusMethodNotAllowed {
						t.Errorf("%s: %d, and it is not described", name, w.Code)
					}
					continue
				}
				tried[method+" "+op.path] = true
				if w.Code != try.want {
					t.Errorf("%s: %d, want %d: %s", name, w.Code, try.want, w.Body)
				}
				responses := doc["paths"].(object)[op.path].(object)[strings.ToLower(method)].(object)["responses"].(object)
				answer, ok := responses[fmt.Sprint(w.Code)].(object)
				if !ok {
					answer = responses["default"].(object)
				}
				if method == http.MethodHead {
					continue
				}
				kind := w.Header().Get("Content-Type")
				content, ok := answer["content"].(object)[kind].(object)
				if !ok {
					t.Errorf("%s: %d answers with %s, which is not described: %v", name, w.Code, kind, answer["content"])
					continue
				}
				if strings.HasPrefix(kind, "text/") {
					continue
				}
				for line := range strings.Lines(w.Body.String()) { // one, but of a stream
					if kind != ndjson {
						line = w.Body.String()
					}
					var v any
					if err := json.Unmarshal([]byte(line), &v); err != nil {
						t.Errorf("%s: %v in %s", name, err, line)
						break
					}
					for _, fault := range check(doc, content["schema"].(object), v, "") {
						t.Errorf("%s: %s", name, fault)
					}
					if kind != ndjson {
						break
					}
				}
			}
		}
	}
	for path, list := range methods {
		for _, method := range list {
			if !tried[method+" "+path] {
				t.Errorf("%s %s was not tried", method, path)
			}
		}
	}
}

// fullNode tells everything that a node can tell.
func fullNode() *fakeNode {
	n := newFakeNode()
	yes := true
	n.status.Instance.PID, n.status.Instance.Version, n.status.Instance.MaintenanceUntil = 1, "v", &n.status.Instance.Since
	n.status.Peers[0].State, n.status.Peers[0].Candidate = StateSlave, &yes
	n.status.Workload = &Workload{Command: []string{"./orders"}, State: "running", PID: 2}
	n.status.Packets = &Packets{Sent: 1, Dropped: map[string]uint64{"own": 1}}
	n.status.Alarms = []string{"no key"}
	n.status.Cache.Copy = &CacheCopy{Of: "b", Connected: true}
	return n
}

// fullCaches keeps a message and another entry.
func fullCaches(t *testing.T) *fakeCaches {
	c := newFakeCaches()
	c.stats.Copy = &CacheCopy{Of: "b"}
	c.stats.Slaves = []CacheSlave{{Name: "b"}}
	c.stats.Counters = map[string]uint64{"puts": 1}
	c.put("KEY", message(t, mirror.Message{ID: "KEY", Workflow: "w", State: mirror.InFlight, Attempts: 1, Payload: []byte("p"), Started: 1, Updated: 2}), true)
	c.put("\xff", "bytes", false)
	c.orphans = []fakeOrphan{{key: "KEY", value: "old", epoch: 2}}
	return c
}

// check holds a value against a schema, as far as the document uses schemas.
func check(doc, schema object, v any, at string) (faults []string) {
	bad := func(format string, args ...any) { faults = append(faults, at+": "+fmt.Sprintf(format, args...)) }
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		target, ok := doc["components"].(object)["schemas"].(object)[name].(object)
		if !ok {
			bad("no schema %s", name)
			return faults
		}
		return check(doc, target, v, at)
	}
	if v == nil {
		if schema["nullable"] != true {
			bad("is null")
		}
		return faults
	}
	for _, each := range list(schema["allOf"]) {
		faults = append(faults, check(doc, each.(object), v, at)...)
	}
	if words := list(schema["enum"]); words != nil && !slices.Contains(words, v) {
		bad("%v is none of %v", v, words)
	}
	switch kind := schema["type"]; kind {
	case nil:
	case "object":
		m, ok := v.(object)
		if !ok {
			bad("is no object")
			return faults
		}
		for _, name := range list(schema["required"]) {
			if _, ok := m[name.(string)]; !ok {
				bad("%s is missing", name)
			}
		}
		properties, _ := schema["properties"].(object)
		others, open := schema["additionalProperties"].(object)
		for name, value := range m {
			p, ok := properties[name].(object)
			switch {
			case ok:
				faults = append(faults, check(doc, p, value, at+"."+name)...)
			case open:
				faults = append(faults, check(doc, others, value, at+"."+name)...)
			case properties != nil:
				bad("%s is not described", name)
			}
		}
	case "array":
		items, ok := v.([]any)
		if !ok {
			bad("is no array")
		}
		for i, item := range items {
			faults = append(faults, check(doc, schema["items"].(object), item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case "string":
		s, ok := v.(string)
		if !ok {
			bad("is no string")
		}
		if _, err := time.Parse(timeLayout, s); schema["format"] == "date-time" && err != nil {
			bad("%q is no time", s)
		}
	case "integer":
		if n, ok := v.(float64); !ok || n != float64(int64(n)) {
			bad("is no whole number")
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			bad("is no boolean")
		}
	default:
		bad("schema of type %v", kind)
	}
	return faults
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// What check finds.
func TestCheck(t *testing.T) {
	doc := parsed(t)
	status := object{"$ref": "#/components/schemas/Status"}
	good := ask(newFakeNode(), "GET", "/v1/status", "").Body.String()
	for _, tt := range []struct{ from, to, want string }{
		{"", "", ""},
		{`"schema":1`, `"schema":"1"`, ".schema: is no whole number"},
		{`"cluster":"default",`, ``, "cluster is missing"},
		{`"role":"master"`, `"role":"king"`, ".instance.role: king is none of"},
		{`"epoch":3,"since"`, `"epoch":3.5,"since"`, ".instance.epoch: is no whole number"},
		{`"peers":[{`, `"peers":[{"odd":1,`, ".peers[0]: odd is not described"},
		{`"authenticated":false`, `"authenticated":null`, ".settings.authenticated: is null"},
		{`2026-11-21T`, `2026-11-21 `, "is no time"},
	} {
		text := strings.Replace(good, tt.from, tt.to, 1)
		if tt.from != "" && text == good {
			t.Fatalf("%q is not in the status", tt.from)
		}
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(check(doc, status, v, ""), "\n")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s → %s: got %q, want %q", tt.from, tt.to, got, tt.want)
		}
	}
}
