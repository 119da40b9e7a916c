//go:build !linux

package workload

import "context"

func newCheck(HealthConfig) (func(context.Context) error, error) { return nil, ErrUnsupported }
