// Package drivers is what the gateway knows of a bus: points, readings with a quality, and the two interfaces that a
// driver implements. It holds no driver: each lives in a package of its own below this one and brings one library.
package drivers

import (
	"context"
	"errors"
	"time"
)

// PointID names one sensor value or one output of a device: "veg1-climate.temperature". Unique on a gateway.
type PointID string

// Quality says how far a reading's number may be trusted (OPC UA's Bad, Uncertain, Good). The zero value is Bad.
type Quality uint8

// Qualities.
const (
	Bad       Quality = iota // no usable number
	Uncertain                // a number that only a point that says so may use
	Good                     // a number
)

// String is "bad", "uncertain" or "good".
func (q Quality) String() string {
	switch q {
	case Good:
		return "good"
	case Uncertain:
		return "uncertain"
	}
	return "bad"
}

// Reading is one observation of a point.
type Reading struct {
	Point   PointID
	Value   float64   // in the point's unit; means nothing when Quality is Bad
	Quality Quality   // the zero value is Bad
	At      time.Time // wall time of the source; for a polled bus the instant the answer arrived
	Err     error     // why the quality is not Good; nil when Good. Matched by errors.Is with the Err… reasons below
	Message *Message  // the message that brought it, shared by all its readings; nil on a polled bus
}

// Message is what is known of one pushed message (MQTT). It never changes once drained.
type Message struct {
	Device   string // the device that sent it, as the configuration names it
	Topic    string
	ID       [16]byte // the event id: derived (v8) of device, source time and payload when Stamped, else uuid v7
	Stamped  bool     // the message carried its own time
	QoS      byte
	Retained bool
	Kind     MessageKind
	Raw      []byte // the payload as it came, at most 64 KiB; nil for Telemetry, which is all in the readings
}

// MessageKind tells telemetry from what a device says about itself.
type MessageKind uint8

// Kinds of message.
const (
	Telemetry  MessageKind = iota // values of points
	Status                        // a last will or a status message
	Attributes                    // facts of the device
)

// Request is one bus transaction of a driver's plan.
type Request struct {
	Unit   string        // the unit on the bus that answers it, as operators know it: "unit 10"
	Points []PointID     // what its answer holds
	Every  time.Duration // how often it is wanted; 0: the bus' default
}

// Driver reads and writes the points of one bus. All methods but Close are called from one goroutine, the bus' owner;
// a constructor validates and does no I/O, connecting is lazy.
type Driver interface {
	// Requests is the fixed plan, in the order in which it is best read.
	Requests() []Request
	// Read does one transaction and appends a reading for each of the request's points. An error means that nothing
	// was appended; errors.Is tells ErrUnit (this unit only) from ErrBus (nobody on this bus can be reached).
	Read(ctx context.Context, r Request, dst []Reading) ([]Reading, error)
	// Write sets a point and returns nil only once the device has confirmed v by its own state.
	Write(ctx context.Context, p PointID, v float64) error
	// Close frees the connection. It may be called from another goroutine, once, and ends a call in progress.
	Close() error
}

// Delivery counts what a Pusher has handed over: acknowledging one acknowledges all before it.
type Delivery uint64

// Pusher is a driver whose devices speak first (MQTT). Its client is never blocked.
type Pusher interface {
	// Ready has a value when Drain has something to give. Closed when the driver is.
	Ready() <-chan struct{}
	// Drain appends what has come since, oldest first, and says up to which delivery that is. Never blocks.
	Drain(dst []Reading) ([]Reading, Delivery)
	// Ack tells the broker that everything up to a delivery is kept (or rejected and counted). Any goroutine.
	Ack(upTo Delivery)
}

// Errors that a driver's Read and Write return.
var (
	ErrBus          = errors.New("bus")           // the connection: nobody on it can be reached
	ErrUnit         = errors.New("unit")          // this unit did not answer, or refused
	ErrNotConfirmed = errors.New("not confirmed") // written, but the device does not show the value
	ErrNoSuchPoint  = errors.New("no such point") // the driver has no point of that name, or it cannot be written
)

// Reasons why a reading's quality is not Good, in Reading.Err.
var (
	ErrStale       = errors.New("stale")          // older than its point allows, or waiting somewhere before it came
	ErrOutOfRange  = errors.New("out of range")   // beyond what the sensor can physically measure
	ErrImplausible = errors.New("implausible")    // changed faster than the quantity can
	ErrStuck       = errors.New("stuck")          // has not changed beyond its noise while it should have
	ErrDevice      = errors.New("device error")   // the device says so itself: exception, error code, sensor fault
	ErrNotANumber  = errors.New("not a number")   // NaN, infinite, or of the wrong type
	ErrClock       = errors.New("clock in doubt") // its time cannot be right
	ErrSimulated   = errors.New("simulated")
)
