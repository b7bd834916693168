package modbus

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	library "github.com/goburrow/modbus"
)

// kind is what tells one answer from another on a line without transaction ids, besides the unit.
type kind struct {
	function byte
	size     int
}

// kindOf is that of the answer to a request, without its frame.
func kindOf(request []byte) kind { return kind{request[0], length(request)} }

// reading is a request that reads: what a unit can be asked to show that it is in step.
type reading struct {
	function     byte
	first, count uint16
	made         bool // it is in no plan: the unit may refuse it, which is an answer, or say nothing
}

// request is its PDU.
func (g reading) request() []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{g.function}, g.first), g.count)
}

// doubts is what a line without transaction ids must remember after an error.
type doubts struct {
	quiet time.Time // nothing is sent before, and what comes is thrown away
	units map[byte]*doubted
	worst time.Duration // the longest turn-around of all units that say it
	some  bool          // there are units that do not say it
}

// doubted is one unit's part.
type doubted struct {
	proofs []reading // what it can be asked, best first
	owed   []kind    // answers that it has not given, and may still give
	failed time.Time // when the last one was not given
	mute   bool      // the last proof that no plan holds had no answer
	deaf   bool      // it does not answer such proofs: they are no use with it
}

// newDoubts knows the units of a plan.
func newDoubts(blocks []block) doubts {
	d := doubts{units: map[byte]*doubted{}}
	for i := range blocks {
		s := blocks[i].span()
		u := d.unit(s.unit.Address)
		u.proofs = append(u.proofs, reading{function: s.function(), first: s.first, count: uint16(s.count)})
		d.worst = max(d.worst, s.unit.TurnAround)
		d.some = d.some || s.unit.TurnAround == 0
	}
	for _, u := range d.units {
		slices.SortStableFunc(u.proofs, func(a, b reading) int { return length(a.request()) - length(b.request()) })
		for _, g := range slices.Clone(u.proofs) {
			u.proofs = append(u.proofs, g.other())
		}
	}
	return d
}

// other is like a reading, with an answer of another length: less of it where that can be.
func (g reading) other() reading {
	g.made = true
	switch {
	case g.function <= library.FuncCodeReadDiscreteInputs && g.count > 8:
		g.count = 1
	case g.function <= library.FuncCodeReadDiscreteInputs:
		g.count += 8
	case g.count > 1:
		g.count--
	default:
		g.count++
	}
	return g
}

func (d *doubts) unit(address byte) *doubted {
	u := d.units[address]
	if u == nil {
		u = new(doubted)
		d.units[address] = u
	}
	return u
}

// turnAround is the longest that a unit may take to begin an answer.
func turnAround(u *Unit, timeout time.Duration) time.Duration {
	if u.TurnAround > 0 {
		return u.TurnAround
	}
	return 2 * timeout
}

// longest is that of all units.
func (d *doubts) longest(timeout time.Duration) time.Duration {
	if d.some || d.worst == 0 {
		return max(d.worst, 2*timeout)
	}
	return d.worst
}

// raise notes that a request has had no answer that could be believed.
func (d *doubts) raise(u *Unit, request []byte, now time.Time, timeout time.Duration) {
	d.hush(now, turnAround(u, timeout))
	unit := d.unit(u.Address)
	unit.failed = now
	if k := kindOf(request); !slices.Contains(unit.owed, k) {
		unit.owed = append(unit.owed, k)
	}
}

// hush has the line stay quiet for at least so long.
func (d *doubts) hush(now time.Time, least time.Duration) {
	if end := now.Add(least); end.After(d.quiet) {
		d.quiet = end
	}
}

// settle notes that a unit has given the answer that it was asked for.
func (d *doubts) settle(address byte) {
	u := d.unit(address)
	u.deaf = u.deaf || u.mute
	u.owed, u.mute = u.owed[:0], false
}

// about says whether an answer to a request could be taken for one that a unit owes.
func (d *doubts) about(request []byte, address byte) bool {
	return slices.Contains(d.unit(address).owed, kindOf(request))
}

// proof is something to ask a unit whose answer cannot be taken for one that it owes.
func (u *doubted) proof() (reading, bool) {
	for _, g := range u.proofs {
		if g.made && u.deaf || slices.Contains(u.owed, kindOf(g.request())) {
			continue
		}
		return g, true
	}
	return reading{}, false
}

// rest waits until the line has been quiet for as long as it must, throws away what comes meanwhile, and starts to wait anew
// when that is more than noise: then somebody has spoken late, or speaks whom we do not know.
func (r *serialFrame) rest(l *link) error {
	heard := 0
	for {
		end := r.doubts.quiet
		if soon := time.Now().Add(look); end.Before(soon) {
			end = soon
		}
		if err := l.within(time.Until(end)); err != nil {
			return err
		}
		n, err := l.Read(r.in[:])
		l.heard = l.heard || n > 0
		if heard += n; n > 0 && heard > noise {
			r.doubts.hush(time.Now(), r.doubts.longest(r.timeout))
		}
		switch left := time.Until(end); {
		case err == nil:
		case !isTimeout(err):
			return trouble{errLost, err}
		case left > 0 && heard > noise:
			return trouble{errEnded, fmt.Errorf("somebody speaks on the line who was not asked (%d bytes); look for another master", heard)}
		case left > 0:
			return trouble{errEnded, fmt.Errorf("the line must stay quiet for another %s after an error", round(left))}
		default:
			return nil
		}
	}
}

// prove has the unit answer something that cannot be mistaken for what it owes. Where there is nothing such to ask, twice the
// quiet time stands for it.
func (r *serialFrame) prove(l *link) error {
	u := r.doubts.unit(r.unit.Address)
	g, ok := u.proof()
	if !ok {
		r.doubts.hush(u.failed, 2*turnAround(r.unit, r.timeout))
		return r.rest(l)
	}
	pdu := g.request()
	r.probe[0] = r.unit.Address
	frame := seal(r.probe[:addressSize+copy(r.probe[addressSize:], pdu)])
	if _, err := r.transact(l, frame); err != nil {
		u.mute = u.mute || g.made && isTimeout(err)
		return err
	}
	r.doubts.hush(time.Now(), r.unit.InterFrame)
	return r.rest(l)
}
