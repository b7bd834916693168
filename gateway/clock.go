package gateway

import (
	"time"

	"gacp-erp.internal/glasshouse/rules"
)

// clock tells both times of a cycle: steady, which only ever goes forward, and wall, which somebody may set.
type clock struct {
	began time.Time // carries the monotonic reading
	zone  *time.Location
}

func newClock(zone *time.Location) clock { return clock{began: time.Now(), zone: zone} }

// now is this instant on both clocks.
func (c clock) now() rules.Moment {
	now := time.Now()
	return rules.Moment{Steady: now.Sub(c.began), Wall: now.Round(0).In(c.zone)}
}
