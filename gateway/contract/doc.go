// Package contract is what crosses to the central platform: the events a gateway writes, their two envelopes, their record
// headers and keys, the JSON Schemas they are held to, and the envelopes of what it reads. It sends nothing, keeps nothing
// and decides nothing.
//
// An [Encoder] appends the bytes that are stored and later sent; nobody rewrites them in between. It never writes a number
// that is not one, a key without a value, or a null: what cannot be written by the contract is an error that wraps
// [ErrInvalid] and leaves the record empty. [Validate] holds finished bytes against the embedded schemas, which are open to
// unknown keys as the platform is.
package contract

import (
	"errors"
	"slices"
)

// Names of the topics a gateway writes, which are also the names of the buffer's lanes. A configuration may send them
// under other names.
const (
	TopicEnvironment  = "cultivation.environment.v1" // breaches of the climate
	TopicTelemetry    = "device.telemetry.v1"        // values
	TopicDeviceEvents = "device.events.v1"           // devices that register, come and go
	TopicDeviceAlerts = "device.alerts.v1"           // faults of devices, not of the climate
)

// Types of the events a gateway writes.
const (
	TypeAlert               = "environment.alert"
	TypeTelemetry           = "device.telemetry.received"
	TypeStatusChanged       = "device.status.changed"
	TypeRegistered          = "device.registered"
	TypeDeviceAlertRaised   = "device.alert.raised"
	TypeDeviceAlertResolved = "device.alert.resolved"
)

// Versions of the two envelopes, as bodies and the schema-version header carry them.
const (
	VersionERP = "1.0"
	VersionHub = "v1"
)

// MaxRecord is what one record's key, headers and body may have together, in bytes: the platform's topics take 1 MiB, of
// which some is left for what Kafka adds.
const MaxRecord = 1<<20 - 4096

// Errors of this package; test with errors.Is.
var (
	ErrInvalid  = errors.New("breaks the contract")         // an event that cannot be written, or bytes that no schema allows
	ErrTooLarge = errors.New("larger than a record may be") // more than MaxRecord
	ErrVersion  = errors.New("unsupported version")         // of an envelope that was read
)

// Topic is one topic the gateway writes.
type Topic struct {
	Name     string // the default name
	Critical bool   // what it carries may be dropped last of all
	Events   []string
}

// Topics are the topics the gateway writes, critical ones first. The result is the caller's.
func Topics() []Topic {
	return []Topic{
		{TopicEnvironment, true, []string{TypeAlert}},
		{TopicDeviceAlerts, true, []string{TypeDeviceAlertRaised, TypeDeviceAlertResolved}},
		{TopicDeviceEvents, true, []string{TypeRegistered, TypeStatusChanged}},
		{TopicTelemetry, false, []string{TypeTelemetry}},
	}
}

// carries tells whether a topic is there for a type of event.
func carries(topic, eventType string) bool {
	return slices.ContainsFunc(Topics(), func(t Topic) bool { return t.Name == topic && slices.Contains(t.Events, eventType) })
}
