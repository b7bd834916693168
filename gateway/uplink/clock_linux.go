package uplink

import (
	"fmt"
	"syscall"
	"time"
)

// clockSynced asks the kernel whether something like NTP keeps the clock, and how far off it may be at worst.
func clockSynced() (synced bool, off time.Duration, err error) {
	const unsynced = 5 // TIME_ERROR
	var t syscall.Timex
	state, err := syscall.Adjtimex(&t)
	if err != nil {
		return false, 0, fmt.Errorf("adjtimex: %w", err)
	}
	return state != unsynced, (time.Duration(t.Maxerror) * time.Microsecond).Round(time.Millisecond), nil
}
