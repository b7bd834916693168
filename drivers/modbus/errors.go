package modbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	library "github.com/goburrow/modbus"

	"gacp-erp.internal/glasshouse/drivers"
)

// fault is an error in words with the kinds that errors.Is finds.
type fault struct {
	text  string
	kinds []error
}

func (f *fault) Error() string   { return f.text }
func (f *fault) Unwrap() []error { return f.kinds }

// What a transaction can end with, besides an answer. The transport returns them; explain puts them into words.
var (
	errSilent = errors.New("no answer")  // in time; the line is as it was
	errDoubt  = errors.New("in doubt")   // an answer that cannot be to what was asked; the line is closed or left in peace
	errLost   = errors.New("lost")       // the connection broke
	errBroken = errors.New("broken off") // with errLost: in the middle of an answer
	errDial   = errors.New("no way")     // there is no connection to be had
	errClosed = errors.New("closed")     // by Close
	errEnded  = errors.New("call ended") // by its context
)

// trouble is one of the above with its cause, whose words are enough.
type trouble struct{ kind, cause error }

func (t trouble) Error() string   { return t.cause.Error() }
func (t trouble) Unwrap() []error { return []error{t.kind, t.cause} }

// doubt is an answer that cannot be to what was asked.
func doubt(format string, a ...any) error { return trouble{errDoubt, fmt.Errorf(format, a...)} }

// explain says what became of a transaction, what to do, and whether it concerns one unit or the whole bus.
func (d *Driver) explain(err error, doing string, s span, waited time.Duration) error {
	who := fmt.Sprintf("modbus bus %q: %s %s of unit %d (%s): ", d.config.Name, doing, s, s.unit.Address, s.unit.ID)
	bus := func(text string, kinds ...error) error {
		return &fault{who + text, append(kinds, drivers.ErrBus)}
	}
	unit := func(text string, kinds ...error) error {
		return &fault{who + text, append(kinds, drivers.ErrUnit)}
	}
	var exception *library.ModbusError
	switch {
	case errors.Is(err, errClosed):
		return bus("the driver is closed")
	case errors.Is(err, errDial):
		return bus(fmt.Sprintf("no connection to %s: %v: %s", d.endpoint, err, d.endpoint.hint()), err)
	case errors.Is(err, errEnded):
		return unit(fmt.Sprintf("given up after %s: %v", round(waited), err), err)
	case errors.Is(err, errLost):
		return bus(fmt.Sprintf("connection to %s lost: %v; it is made again with the next request", d.endpoint, err), err)
	case errors.Is(err, errSilent):
		return unit(fmt.Sprintf("no answer within %s: check its address, wiring and baud rate", round(d.line.took)), err)
	case errors.As(err, &exception):
		text, device := meaning(exception.ExceptionCode, s)
		text = fmt.Sprintf("exception %d, %s", exception.ExceptionCode, text)
		if device {
			return unit(text, err, drivers.ErrDevice)
		}
		return unit(text, err)
	}
	if d.endpoint.framing != tcp {
		return unit(fmt.Sprintf("%v: not trusted, the line stays quiet for a while", err), err)
	}
	return unit(fmt.Sprintf("%v: not trusted, connection closed", err), err)
}

// meaning puts an exception code into words, and says whether it is the device's own word or a gateway's.
func meaning(code byte, s span) (text string, device bool) {
	switch code {
	case library.ExceptionCodeIllegalFunction:
		return "illegal function: it does not know this function; check the table of these points", true
	case library.ExceptionCodeIllegalDataAddress:
		return fmt.Sprintf("illegal address: it does not have %s; check the addresses (they count from 0) and the gap", s), true
	case library.ExceptionCodeIllegalDataValue:
		return "illegal value: it refuses the value or the number of addresses; check limits and max registers", true
	case library.ExceptionCodeServerDeviceFailure:
		return "device failure: it could not do it; look at the device", true
	case library.ExceptionCodeAcknowledge:
		return "acknowledge: it needs longer for this", true
	case library.ExceptionCodeServerDeviceBusy:
		return "busy: it is asked too often or by others", true
	case library.ExceptionCodeMemoryParityError:
		return "memory parity error: look at the device", true
	case library.ExceptionCodeGatewayPathUnavailable:
		return "gateway path unavailable: the gateway knows no way to this unit; check the gateway's settings", false
	case library.ExceptionCodeGatewayTargetDeviceFailedToRespond:
		return "the gateway got no answer from it: check its address, wiring and baud rate", false
	}
	return "a code of the manufacturer's own; see the data sheet", true
}

// round makes a duration short enough to read.
func round(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}

// ended says that a call's context is over.
func ended(ctx context.Context) error { return trouble{errEnded, context.Cause(ctx)} }
