package admin

import (
	"embed"
	"net/http"
	"path"
	"strings"
)

//go:embed dashboard
var dashboardFiles embed.FS

// dashboardPolicy lets the page load its own files and ask this server, nothing
// else: what a message or a name holds can run nowhere.
const dashboardPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// dashboardTypes are the files of the dashboard, by path.
var dashboardTypes = map[string]string{
	"/":              "text/html; charset=utf-8",
	"/dashboard.css": "text/css; charset=utf-8",
	"/dashboard.js":  "text/javascript; charset=utf-8",
}

// dashboard answers with a page for people, which asks the rest of the API.
func (a *api) dashboard(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	b, err := dashboardFiles.ReadFile(path.Join("dashboard", name))
	if err != nil {
		return err // never: the files are compiled in
	}
	h := w.Header()
	h.Set("Content-Security-Policy", dashboardPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	writeBytes(w, http.StatusOK, dashboardTypes[r.URL.Path], b)
	return nil
}
