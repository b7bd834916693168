// Package scan is the cycle: the only place where the gateway decides anything. A Core takes what came since the last
// cycle and says what to switch and what to tell. It does no I/O, reads no clock, starts no goroutine and knows neither
// JSON of the platform nor buses; the same inputs give the same cycles.
package scan

import (
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/rules"
)

// Evaluator is the compiled rule set with its state bound to it. Core calls it from Step, State and New only.
type Evaluator interface {
	// Eval judges the image; the outcome may be reused by the next call.
	Eval(now rules.Moment, in rules.Image) rules.Outcome
	// Save gives the state as JSON, durations as remaining time.
	Save(now rules.Moment) ([]byte, error)
	// Restore takes what Save gave. It is called before the first Eval.
	Restore(saved []byte, now rules.Moment) error
	// View is what is known of one rule after the last Eval.
	View(rule int) rules.View
}

// Config is what a Core is built of. Indexes are positions in its slices. It must not change after New.
type Config struct {
	Gateway, Facility string
	Devices           []Device
	Points            []Point
	Outputs           []Output
	Buses             []string      // names, for the faults that outlive a restart
	Specs             []Spec        // what each rule of Rules is about, in the order of its indexes
	Rules             Evaluator     // nil: nothing is evaluated
	Observe           bool          // decide and tell, switch nothing
	Grace             time.Duration // 0: 30 s
}

// Device is one device on a bus.
type Device struct {
	ID, Zone string
	Offline  time.Duration // silence after which it is offline; 0: never by silence
}

// Point is one value of a device.
type Point struct {
	ID                   drivers.PointID
	Device               int
	Zone, Quantity, Unit string
	MaxAge               time.Duration // 0: never stale
	Min, Max             float64       // what the sensor can measure, in Unit; in force when Min < Max
	UseUncertain         bool          // Uncertain counts as a number; otherwise it is Bad
	Optional             bool          // not every device of its type has it: nobody waits for it at the start
}

// Output is one actuator.
type Output struct {
	Name, Zone    string
	Device, Point int
	Safe          float64       // the value without a reason for another
	Hold          bool          // a stop leaves it as it is
	MinOn, MinOff time.Duration // least time at a value other than 0, and at 0; 0: none
	MaxRun        time.Duration // longest time away from Safe at a stretch; 0: none
}

// Spec says what a rule is about, for events and for grace.
type Spec struct {
	ID, Zone, Quantity, Unit string
	Inputs                   []int // points it reads
	Outputs                  []int // outputs it may want
}

// Input is what came since the last cycle. Step keeps nothing of its slices.
type Input struct {
	Now           rules.Moment  // Steady never less than before
	Readings      []Observation // judged in place: see Observation
	Commands      []Command
	Confirmations []Confirmation
	Stop          bool // from now on: all outputs to safe, for good
	BusFaults     []BusFault
	Gone          []int // devices that said goodbye (a last will that came live)
	Conditions    []Condition
}

// Observation is a reading with its point's index. Step judges it in place: what may not be used as a number comes back
// Bad, with Value 0 and the reason, so that whoever tells of it tells what was decided on. What is only late, by its own
// stamp, decides nothing either and stays as it is: it was true then, and its event tells when.
type Observation struct {
	Point   int
	Value   float64
	Quality drivers.Quality
	At      time.Time
	Err     error
	Message *drivers.Message
}

// Origin says where a command came from.
type Origin uint8

// Origins, lowest rank first.
const (
	Remote Origin = iota
	Local
)

// Command asks to hold an output at a value until an end, or to release it.
type Command struct {
	ID         string
	Output     int
	Value      float64
	Until      time.Time     // wall time of its end; zero: For
	For        time.Duration // used when Until is zero; must be positive
	Release    bool          // gives up the lease of this origin
	By, Reason string
	Origin     Origin
}

// Receipt answers a command.
type Receipt struct {
	ID         string
	Output     int
	Accepted   bool
	Until      time.Time // wall time of the lease's end
	Reason     string    // why it was refused
	Overridden string    // what of higher rank holds the output now; "" when the command has its way
}

// Confirmation is the outcome of a switch; one with an ID other than the newest is ignored.
type Confirmation struct {
	Output int
	ID     uint64
	Value  float64
	Err    error
}

// BusFault says that a bus cannot be reached, or can again when Err is nil.
type BusFault struct {
	Bus     string
	Devices []int
	Err     error
}

// Condition is a fault that something outside the cycle knows of: the journal cannot write, a topic is missing. While On
// it stands as a fault of Device ("" is the gateway itself); told when it comes and when it goes.
type Condition struct {
	Key, Device, Type  string
	Severity           rules.Severity
	Title, Description string
	On                 bool
}

// Switch is one order to a bus.
type Switch struct {
	Output int
	ID     uint64
	Value  float64
	Safety bool // goes before everything else
	Why    string
}

// Kind of an event.
type Kind uint8

// Kinds.
const (
	AlertRaised Kind = iota
	AlertEscalated
	AlertCorrected
	AlertResolved
	FaultRaised
	FaultResolved
	DeviceStatus
	OutputFound
	OutputSwitched
	ClockChanged
)

// Event is plain data; which fields mean something depends on Kind.
type Event struct {
	Kind        Kind
	ID          string // of the event; uuid v5, the same on replay
	Alert       string // id of the alert or fault
	Correlation string // of all events of one alert
	Causation   string // the event before in the same alert; "" for the first
	At          time.Time
	Since       time.Time
	Severity    rules.Severity

	Rule                 int // alerts; -1: of a rule that is gone
	Zone, Quantity, Unit string
	Value, Min, Max      float64 // alerts; Value also for outputs
	Deviation            float64 // value minus the broken limit, in Unit: negative below the range, 0 within
	Above, Tried         bool
	Success              rules.Truth
	Actions              []rules.Action
	Device               string // faults and status; "" for the gateway's own
	Type                 string // connectivity, error, maintenance
	Title, Description   string
	Online               bool
	Output               int // outputs
	From                 float64
	Holder, Who          string
	Observed             bool // would have been switched
	Jump                 time.Duration
}

// Cycle is what Step decided. It and its slices are valid until the next Step; State is the receiver's to keep.
type Cycle struct {
	Number   uint64
	Now      rules.Moment
	Switches []Switch // at most one for an output
	Events   []Event
	Receipts []Receipt
	State    []byte // nil: nothing durable changed
	Critical bool   // holds what must be durable at once
}
