// Package browser looks at the dashboard of running instances with a real
// browser, and presses its buttons.
//
// It needs chromium, and runs with `go test ./test/browser -browser` only. The
// browser is driven over a pipe, has a profile of its own that is thrown away,
// and may ask nobody but the instances on the loopback interface. It works on
// Linux only.
package browser
