// Package metrics is the plugin "metrics": it counts how steps end and how long
// they take.
//
// [New] makes it; [Plugin.WriteTo] writes the numbers as Prometheus reads them,
// [Plugin.Rows] gives them to programs. It keeps at most [MaxSteps] steps apart,
// the rest are counted together.
package metrics
