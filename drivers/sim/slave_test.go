package sim_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers/sim"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
)

var _ sim.Slave = (*slave.Slave)(nil)

// ask sends one Modbus TCP request and gives the answer behind the unit's address.
func ask(t *testing.T, c net.Conn, unit byte, pdu ...byte) []byte {
	t.Helper()
	frame := append([]byte{0, 1, 0, 0, 0, byte(len(pdu) + 1), unit}, pdu...)
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(frame); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 7)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, binary.BigEndian.Uint16(head[4:])-1)
	if _, err := io.ReadFull(c, answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// Over the wire: the transmitter warms up in the sun, and the fan that a coil switches on cools it.
func TestOverTheWire(t *testing.T) {
	s, err := slave.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	g := sim.New(sim.Options{Seed: 11})
	g.Attach(s)
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	temperature := func() float64 {
		answer := ask(t, c, 1, 4, 0, 1, 0, 2) // input registers 1 and 2
		if len(answer) != 6 || answer[0] != 4 || answer[1] != 4 {
			t.Fatalf("answer % x", answer)
		}
		if humidity := binary.BigEndian.Uint16(answer[4:]); humidity < 300 || humidity > 950 {
			t.Errorf("%d tenths of a percent", humidity)
		}
		return float64(int16(binary.BigEndian.Uint16(answer[2:]))) / 10
	}
	morning := temperature()
	g.Step(15 * time.Minute)
	warm := temperature()
	if coils := ask(t, c, 10, 1, 0, 0, 0, 8); len(coils) != 3 || coils[2] != 0 {
		t.Errorf("coils % x", coils)
	}
	ask(t, c, 10, 5, 0, 0, 0xff, 0) // exhaust fan on
	if coils := ask(t, c, 10, 1, 0, 0, 0, 8); len(coils) != 3 || coils[2] != 1 {
		t.Errorf("coils % x", coils)
	}
	g.Step(15 * time.Minute)
	cool := temperature()
	if warm < morning+1 || cool > warm-1 {
		t.Errorf("%.1f °C, after a while in the sun %.1f, after the fan %.1f", morning, warm, cool)
	}
}
