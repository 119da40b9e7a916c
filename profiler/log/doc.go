// Package log is the plugin "log": it writes a line for each step that ended.
//
// Ends with an error are warnings, others are written at debug, and starts at
// trace. [New] takes the logger; what its level hides costs next to nothing.
package log
