//go:build !linux

package uplink

import (
	"errors"
	"time"
)

// clockSynced knows no way to ask this system.
func clockSynced() (bool, time.Duration, error) { return false, 0, errors.ErrUnsupported }
