package mqtt

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Reason says why a message, or one value in it, is not used.
type Reason uint8

// Reasons. A message is dropped whole (and acknowledged) for all but those marked "value", which make one reading Bad or
// leave one value out.
const (
	NotJSON       Reason = iota // the payload is no JSON
	TooLarge                    // more than 64 KiB
	UnknownTopic                // no device of this bus speaks on it
	UnknownDevice               // the body names another device than the topic
	UnknownSensor               // value: no point is configured for it; the whole message when nothing in it is known
	WrongUnit                   // the body says another unit than the point has
	BadTime                     // its time cannot be read
	Future                      // its time is more than an hour ahead of ours
	Duplicate                   // the same message came before
	WrongType                   // value: not a number, or beyond what a number can be
	OutOfRange                  // value: beyond what the sensor can measure
	Stale                       // value: retained, without a fresh time
	reasons                     // how many there are
)

var reasonNames = [reasons]string{"not JSON", "too large", "unknown topic", "unknown device", "unknown sensor", "wrong unit",
	"unreadable time", "time in the future", "duplicate", "not a number", "out of range", "retained without a fresh time"}

// String is the reason in words.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Rejection counts what one reason has kept out.
type Rejection struct {
	Reason Reason
	Count  uint64
	At     time.Time // of the last one; zero when there was none
	Last   string    // topic and beginning of the last one, printable ASCII only, at most some 300 characters
}

// Stats counts what a Driver has seen since it was made.
type Stats struct {
	Messages   uint64      // all that came, of both QoS
	Readings   uint64      // handed to the owner, Good and Bad
	Dropped    uint64      // QoS 0 messages beyond the bound in memory: lost
	Rejected   uint64      // messages of which nothing was taken; Rejections says why, and counts single values besides
	Overruns   uint64      // QoS 1 messages beyond the bound: not acknowledged, so they come again after a reconnect
	Rejections []Rejection // one for each reason, in the order of the constants
	Waiting    int         // messages that wait to be drained
	Unacked    int         // QoS 1 messages that are not acknowledged yet
}

// State is the connection as an operator wants to see it.
type State struct {
	Connected  bool      // connected and subscribed
	Since      time.Time // since when it is, or is not, connected
	LastError  string    // what went wrong last, in words, without secrets; stays after a reconnect
	Reconnects uint64    // connections after the first
}

// sample is a topic and the beginning of a payload, safe to log: a broken device must not write into a terminal.
func sample(topic string, payload []byte) string {
	const longest = 64
	if len(topic) > longest {
		topic = topic[:longest]
	}
	if len(payload) > longest {
		payload = payload[:longest]
	}
	return fmt.Sprintf("%s %s", plain(topic), plain(string(payload)))
}

// plain replaces all that is not printable ASCII.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
