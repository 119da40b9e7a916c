package admin

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The dashboard is there for whoever reaches the port, and its policy lets it
// load and ask nothing but this server.
func TestDashboard(t *testing.T) {
	for _, remote := range []bool{false, true} {
		s := serveTCP(t, Config{}, TCP{Token: token, Insecure: true}, remote, nil)
		for path, kind := range dashboardTypes {
			resp, body := s.do("GET", path, "")
			if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != kind || body == "" {
				t.Errorf("remote %v: %s: %d, %s, %d bytes", remote, path, resp.StatusCode, resp.Header.Get("Content-Type"), len(body))
			}
			if got := resp.Header.Values("Content-Security-Policy"); !slices.Equal(got, []string{dashboardPolicy}) {
				t.Errorf("%s: %q", path, got)
			}
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cache-Control": "no-store"} {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %s is %q", path, name, got)
				}
			}
		}
	}
	for _, word := range []string{"unsafe", "*", "http:", "https:"} {
		if strings.Contains(dashboardPolicy, word) {
			t.Errorf("the policy has %q", word)
		}
	}
}

// Nothing of it is inline, or comes from elsewhere; nothing makes HTML of what
// others say; every id that the script asks for is in the page.
func TestDashboardFiles(t *testing.T) {
	text := map[string]string{}
	err := fs.WalkDir(dashboardFiles, "dashboard", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := dashboardFiles.ReadFile(name)
		text[strings.TrimPrefix(name, "dashboard/")] = string(b)
		return err
	})
	if err != nil || len(text) != len(dashboardTypes) {
		t.Fatalf("%d files, %v", len(text), err)
	}
	for name, body := range text {
		for _, bad := range []string{"http:", "https:", `"//`, "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=", "javascript:", "@import", "localStorage", "cookie"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %s", name, bad)
			}
		}
	}
	page := text["index.html"]
	for _, inline := range []string{`<style`, `<script>`, `\son[a-z]+=`} {
		if regexp.MustCompile(inline).MatchString(page) {
			t.Errorf("the page has %s", inline)
		}
	}
	for _, m := range regexp.MustCompile(`\b(?:at|text|rows|order)\("([a-z-]+)"`).FindAllStringSubmatch(text["dashboard.js"], -1) {
		if !strings.Contains(page, `id="`+m[1]+`"`) {
			t.Errorf("the page has no id %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`"(v1/[a-z-]+)`).FindAllStringSubmatch(text["dashboard.js"], -1) {
		if newAPI(Config{Node: newFakeNode()}, nil).routes["/"+m[1]] == nil {
			t.Errorf("the script asks for %s, which is no path", m[1])
		}
	}
}

// The list of what is in flight has a heading for each cell, and says what may
// be out already.
func TestDashboardFlights(t *testing.T) {
	page, _ := dashboardFiles.ReadFile("dashboard/index.html")
	script, _ := dashboardFiles.ReadFile("dashboard/dashboard.js")
	head := regexp.MustCompile(`(?s)flights-title">.*?<thead>(.*?)</thead>`).FindStringSubmatch(string(page))
	cells := regexp.MustCompile(`(?s)rows\("flights", page.*?cells: \[(.*?)\],\n`).FindStringSubmatch(string(script))
	if head == nil || cells == nil {
		t.Fatal("no list")
	}
	if n := strings.Count(head[1], "</th>"); n != 7 {
		t.Errorf("%d headings, want 7", n)
	}
	for _, field := range []string{"key", "workflow", "state", "open", "doubt", "published", "ageMs"} {
		if !strings.Contains(cells[1], "e."+field) {
			t.Errorf("no cell shows %s", field)
		}
	}
}

// What the dashboard is made of stays in it when it is asked for by HEAD, and
// on the Unix socket, which sets no headers of its own.
func TestDashboardOnTheSocket(t *testing.T) {
	w := httptest.NewRecorder()
	newAPI(Config{Node: newFakeNode()}, nil).ServeHTTP(w, httptest.NewRequest("HEAD", "/", nil))
	if w.Code != http.StatusOK || w.Header().Get("Content-Security-Policy") != dashboardPolicy {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
}
