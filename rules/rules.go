package rules

import "time"

// Moment is one instant on both clocks. Durations are measured on Steady only; Wall is for schedules and stamps.
type Moment struct {
	Steady time.Duration // since an arbitrary start; never set back
	Wall   time.Time     // in the facility's time zone
}

// Quality of a sample; the zero value is Bad. The same scale as the drivers', which this package does not import.
type Quality uint8

// Qualities.
const (
	Bad Quality = iota
	Uncertain
	Good
)

// Sample is the latest value of one point. Staleness is already judged: a stale sample is Bad.
type Sample struct {
	Value   float64 // means nothing when Quality is Bad
	Quality Quality
	Seen    time.Duration // steady instant of arrival; 0 and Bad: nothing came yet
}

// Feedback is what is known of one output.
type Feedback struct {
	Actual    Sample  // polled state of the device
	Desired   float64 // what arbitration wants of it now
	Confirmed bool    // the device has confirmed Desired
	Refused   bool    // the last write failed, or the device shows something else
	Held      bool    // somebody of higher rank holds it against this package's wants
}

// Image is everything a rule may look at, by the indexes its Spec names.
type Image struct {
	Samples []Sample
	Outputs []Feedback
}

// Severity of a breach, ISA-18.2 in the platform's words. Zero is Info.
type Severity uint8

// Severities, mildest first.
const (
	Info Severity = iota
	Warning
	Critical
	Emergency
)

// Action sets an output to an absolute value while a correction runs.
type Action struct {
	Output int     // index into Image.Outputs
	Name   string  // "exhaust-fan", for sentences and events
	Value  float64 // 0 and 1 for a switch
}

// Want is a rule's wish for an output.
type Want struct {
	Output   int
	Value    float64
	Rule     int // index of the Spec
	Severity Severity
	Loss     bool // wished because the rule's value is lost: the output's safe value, below every correction
}

// Phase is where an alert's life has come to.
type Phase uint8

// Phases of an alert as they are told. Pending is never told.
const (
	Raised Phase = iota
	Escalated
	Corrected // the correction's outcome became known, or changed
	Resolved
	Blinded // the value was lost (a device fault, not the climate's); the alert, if any, stays as it is
	Seeing  // it is back
)

// Change is one transition of one rule. Nothing else is ever told.
type Change struct {
	Rule     int // index of the Spec
	Phase    Phase
	Severity Severity
	Above    bool     // which side is broken, or was
	Value    float64  // in the rule's unit; for Blinded the last usable one, 0 when there was none
	Min, Max float64  // the range then in force; NaN where it is open
	Since    Moment   // when the breach began that this is about (triggeredAt); zero without one
	Tried    bool     // a correction's actions ran
	Success  Truth    // whether the correction worked
	Actions  []Action // of the correction; the Set's, not to be changed
	Why      string   // one sentence for people
}

// Truth is unknown until it is known.
type Truth uint8

// Truths.
const (
	Unknown Truth = iota
	Yes
	No
)

// Outcome is what one evaluation gives. Its slices are reused by the next evaluation.
type Outcome struct {
	Changes []Change // transitions only, in rule order
	Wants   []Want   // in rule order
}
