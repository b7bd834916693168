package api

import "time"

// Status is everything a person or a program asks of a running gateway, at one instant. A number that is not usable is
// absent (null), never zero. Times are UTC.
type Status struct {
	Gateway  string    `json:"gateway"`
	Facility string    `json:"facility"`
	Version  string    `json:"version"`
	Mode     string    `json:"mode"` // control or observe
	Started  time.Time `json:"started"`
	Now      time.Time `json:"now"`
	Cycles   Cycles    `json:"cycles"`
	Zones    []Zone    `json:"zones"`
	Points   []Point   `json:"points"`
	Outputs  []Output  `json:"outputs"`
	Devices  []Device  `json:"devices"`
	Faults   []Fault   `json:"faults"`
	Buses    []Bus     `json:"buses"`
	Buffer   Buffer    `json:"buffer"`
	Uplink   Uplink    `json:"uplink"`
}

// Cycles counts the work of the deciding loop.
type Cycles struct {
	Number      uint64  `json:"number"`      // cycles since the start
	LastSeconds float64 `json:"lastSeconds"` // duration of the newest
	MaxSeconds  float64 `json:"maxSeconds"`  // the longest since the start
	Heard       uint64  `json:"heard"`       // messages and answers to polls that came in: Told, Unsaid, or Invalid
	Told        uint64  `json:"told"`        // of them, those that became a telemetry event
	Unsaid      uint64  `json:"unsaid"`      // of them, those that no event tells of, such as a device's status
	Records     uint64  `json:"records"`     // events of all kinds handed to the journal
	Invalid     uint64  `json:"invalid"`     // events that broke the contract and were not stored
}

// Zone is one zone with the quantities it has ranges for.
type Zone struct {
	Name   string  `json:"name"`
	Ranges []Range `json:"ranges"`
}

// Range is the state of one rule.
type Range struct {
	Quantity string     `json:"quantity"`
	Unit     string     `json:"unit"`
	Value    *float64   `json:"value"`
	Quality  string     `json:"quality"` // good, uncertain or bad
	Min      *float64   `json:"min"`     // null: open
	Max      *float64   `json:"max"`
	Phase    string     `json:"phase"` // ok, pending, firing, resolving, blind
	Severity string     `json:"severity,omitempty"`
	Since    *time.Time `json:"since,omitempty"` // start of the breach
	AlertID  string     `json:"alertId,omitempty"`
}

// Point is one sensor value or one output's state.
type Point struct {
	ID       string     `json:"id"`
	Device   string     `json:"device"`
	Zone     string     `json:"zone"`
	Quantity string     `json:"quantity"`
	Unit     string     `json:"unit"`
	Value    *float64   `json:"value"`
	Quality  string     `json:"quality"`
	Reason   string     `json:"reason,omitempty"`   // why it is not good
	At       *time.Time `json:"at"`                 // arrival of the newest reading; null: none came yet
	Switch   bool       `json:"switch,omitempty"`   // on or off: the value is 1 or 0
	Optional bool       `json:"optional,omitempty"` // not every device of its type has it
}

// Output is one actuator: what it should be, what it is, and who says so.
type Output struct {
	Name       string     `json:"name"`
	Zone       string     `json:"zone"`
	Point      string     `json:"point"`
	Switch     bool       `json:"switch"` // on or off: the values are 1 and 0
	Desired    float64    `json:"desired"`
	Actual     *float64   `json:"actual"`
	Confirmed  bool       `json:"confirmed"`
	Safe       float64    `json:"safe"`
	Holder     string     `json:"holder"`          // safe, correction, lease, envelope, …
	Why        string     `json:"why"`             // one line for people
	Until      *time.Time `json:"until,omitempty"` // when the holder's hold ends by itself
	Overridden []string   `json:"overridden,omitempty"`
}

// Device is one device's presence.
type Device struct {
	ID       string     `json:"id"`
	Zone     string     `json:"zone"`
	Status   string     `json:"status"` // online, offline, error
	LastSeen *time.Time `json:"lastSeen"`
}

// Fault is a fault that stands now.
type Fault struct {
	Device      string    `json:"device"`
	Type        string    `json:"type"`
	Severity    string    `json:"severity"`
	Title       string    `json:"title"`
	Description string    `json:"description"`
	Since       time.Time `json:"since"`
}

// Bus is one connection to devices.
type Bus struct {
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"`
	Healthy  bool   `json:"healthy"`
	Error    string `json:"error,omitempty"` // in words, with what to do
	Late     uint64 `json:"late"`            // polls that began over a period late
	Messages uint64 `json:"messages"`        // all that came (MQTT): heard, Rejected, Dropped or Overruns
	Rejected uint64 `json:"rejected"`        // messages refused and counted (MQTT)
	Dropped  uint64 `json:"dropped"`         // QoS 0 messages that found no room (MQTT)
	Overruns uint64 `json:"overruns"`        // QoS 1 messages beyond what was asked for: not acknowledged, so they come again (MQTT)
	Units    []Unit `json:"units,omitempty"`
}

// Unit is one address on a polled bus.
type Unit struct {
	Name           string     `json:"name"`
	Requests       uint64     `json:"requests"`
	Errors         uint64     `json:"errors"`
	LatencySeconds float64    `json:"latencySeconds"` // mean
	BackOffUntil   *time.Time `json:"backOffUntil,omitempty"`
	Error          string     `json:"error,omitempty"`
}

// Buffer is the durable queue and the journal that writes it.
type Buffer struct {
	Dir           string     `json:"dir"`
	Epoch         string     `json:"epoch"`
	Bytes         int64      `json:"bytes"`
	MaxBytes      int64      `json:"maxBytes"`
	RoomBytes     int64      `json:"roomBytes"` // what may come before raw telemetry is dropped or the disk is full, if nothing is delivered meanwhile
	Growth        float64    `json:"bytesPerHour"`
	Forecast      *float64   `json:"forecastSeconds"` // until raw telemetry is dropped at this rate, if nothing is delivered meanwhile; null: not known yet, or nothing comes
	Segments      int        `json:"segments"`
	Lanes         []Lane     `json:"lanes"`
	Gaps          uint64     `json:"gaps"`                  // since the epoch began
	LastGaps      []Gap      `json:"lastGaps,omitempty"`    // the newest, the oldest of them first
	Quarantined   []string   `json:"quarantined,omitempty"` // damaged files that were put aside
	DegradedSince *time.Time `json:"degradedSince,omitempty"`
	Sequence      uint64     `json:"sequence"`      // records stored since the epoch began: delivered, waiting, set aside or dropped
	Records       uint64     `json:"records"`       // stored since the start
	InMemory      int64      `json:"inMemoryBytes"` // waiting for the disk
	Pending       int        `json:"pending"`       // records waiting for the disk
	Dropped       uint64     `json:"dropped"`       // records that the degraded journal had no room for
	CommitSeconds float64    `json:"commitSeconds"` // mean latency of a commit
	Commits       uint64     `json:"commits"`       // since the start
	Error         string     `json:"error,omitempty"`
}

// Gap tells of records that were lost before Kafka had them.
type Gap struct {
	Number uint64    `json:"number"` // counts from 1
	At     time.Time `json:"at"`     // when it came about
	Topic  string    `json:"topic"`
	First  uint64    `json:"first"` // sequence
	Last   uint64    `json:"last"`
	Count  uint64    `json:"count"` // records
	From   time.Time `json:"from"`  // time of the earliest record
	To     time.Time `json:"to"`
	Damage bool      `json:"damage"` // a file was damaged or missing; else the buffer was full
}

// Lane is the queue of one topic and how far it has been sent.
type Lane struct {
	Name      string `json:"name"`
	Critical  bool   `json:"critical"`
	Waiting   uint64 `json:"waiting"`
	SetAside  uint64 `json:"setAside"`
	Dropped   uint64 `json:"dropped"`
	Delivered uint64 `json:"delivered"`         // acknowledged by Kafka since the epoch began
	Sent      uint64 `json:"sent"`              // the same since the start
	Blocked   string `json:"blocked,omitempty"` // why, and what to do
	Error     string `json:"error,omitempty"`
}

// Uplink is the way to Kafka.
type Uplink struct {
	Configured bool   `json:"configured"`
	Connected  bool   `json:"connected"`
	Error      string `json:"error,omitempty"`
}
