package modbus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// row is n points of a type, one every step addresses.
func row(n, step int, table Table, kind Type) []Point {
	points := make([]Point, n)
	for i := range points {
		points[i] = Point{ID: drivers.PointID(fmt.Sprintf("p%d", i)), Table: table, Address: uint16(i * step), Type: kind}
	}
	return points
}

// planned is the plan of units as text, one request a line.
func planned(t testing.TB, units ...Unit) []string {
	t.Helper()
	d, err := New(Config{Name: "b", Endpoint: "tcp://h", Units: units})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range d.Plan() {
		lines = append(lines, l.String())
	}
	return lines
}

func TestPlan(t *testing.T) {
	at := func(table Table, kind Type, addresses ...uint16) []Point {
		var points []Point
		for _, a := range addresses {
			points = append(points, Point{ID: drivers.PointID(fmt.Sprintf("%s%d", table, a)), Table: table, Address: a, Type: kind})
		}
		return points
	}
	for name, test := range map[string]struct {
		unit Unit
		want []string
	}{
		"one": {Unit{Points: at(Input, U16, 7)}, []string{"unit 1 (d): input register 7 (function 4), 1 point, every 5s"}},
		"sorted and joined": {Unit{Points: at(Holding, U16, 3, 1, 2)},
			[]string{"unit 1 (d): holding registers 1 to 3 (function 3), 3 points, every 5s"}},
		"no gap is read over": {Unit{Points: at(Holding, U16, 1, 3)},
			[]string{"unit 1 (d): holding register 1 (function 3), 1 point, every 5s", "unit 1 (d): holding register 3 (function 3), 1 point, every 5s"}},
		"a gap up to its limit": {Unit{Gap: 2, Points: at(Holding, U16, 1, 4, 8)},
			[]string{"unit 1 (d): holding registers 1 to 4 (function 3), 2 points, every 5s, 2 read over", "unit 1 (d): holding register 8 (function 3), 1 point, every 5s"}},
		"values stay whole": {Unit{MaxRegisters: 5, Points: at(Input, F32, 0, 2, 4)},
			[]string{"unit 1 (d): input registers 0 to 3 (function 4), 2 points, every 5s", "unit 1 (d): input registers 4 to 5 (function 4), 1 point, every 5s"}},
		"bits": {Unit{Points: slices.Concat(at(Coil, Bool, 0, 1), at(Discrete, Bool, 0, 2))},
			[]string{"unit 1 (d): coils 0 to 1 (function 1), 2 points, every 5s", "unit 1 (d): discrete input 0 (function 2), 1 point, every 5s", "unit 1 (d): discrete input 2 (function 2), 1 point, every 5s"}},
		"the last address": {Unit{Points: at(Holding, U32, 65534)},
			[]string{"unit 1 (d): holding registers 65534 to 65535 (function 3), 1 point, every 5s"}},
		"periods apart": {Unit{Points: []Point{{ID: "a", Every: time.Minute}, {ID: "b", Address: 1}}},
			[]string{"unit 1 (d): input register 1 (function 4), 1 point, every 5s", "unit 1 (d): input register 0 (function 4), 1 point, every 1m0s"}},
		"one register, two points": {Unit{Points: []Point{{ID: "a", Type: Bool, Bit: 3}, {ID: "b", Type: Bool, Bit: 4}, {ID: "c", Type: U32}}},
			[]string{"unit 1 (d): input registers 0 to 1 (function 4), 3 points, every 5s"}},
		"read back elsewhere": {Unit{Points: []Point{{ID: "a", Table: Holding, Address: 9, Writable: true, ReadBack: &Register{Input, 2}}}},
			[]string{"unit 1 (d): input register 2 (function 4), 1 point, every 5s"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.unit.ID, test.unit.Address = "d", 1
			if got := planned(t, test.unit); !slices.Equal(got, test.want) {
				t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// TestFewRequests is row 9 of the project's goals: 1,000 registers in a row, and 100, one in ten, where gaps are allowed.
func TestFewRequests(t *testing.T) {
	for name, test := range map[string]struct {
		unit Unit
		want int
	}{
		"1,000 in a row":          {Unit{Points: row(1000, 1, Holding, U16)}, 8},
		"500 of two":              {Unit{Points: row(500, 2, Holding, F32)}, 9}, // 62 whole ones in 125
		"100, one in ten":         {Unit{Gap: 9, Points: row(100, 10, Holding, U16)}, 8},
		"100, one in ten, no gap": {Unit{Points: row(100, 10, Holding, U16)}, 100},
		"2,000 coils":             {Unit{Points: row(2000, 1, Coil, Bool)}, 1},
		"2,001 coils":             {Unit{Points: row(2001, 1, Coil, Bool)}, 2},
		"10 at a time":            {Unit{MaxRegisters: 10, Points: row(100, 1, Input, U16)}, 10},
	} {
		test.unit.Address = 1
		if got := len(planned(t, test.unit)); got != test.want {
			t.Errorf("%s: %d requests, want %d", name, got, test.want)
		}
	}
}

// FuzzPlan makes points of bytes and holds any plan to what a plan must be.
// whole says that what a block is split into, and that again, holds each of its points once, and at last no gap.
func whole(t *testing.T, b *block) {
	t.Helper()
	left, right, ok := b.split()
	if !ok {
		if over := b.line().Over; over != 0 {
			t.Fatalf("%s is not split", b.line())
		}
		return
	}
	if got := slices.Concat(left.line().Points, right.line().Points); !slices.Equal(got, b.line().Points) || left.line().Over+right.line().Over >= b.line().Over {
		t.Fatalf("%s is split into %s and %s", b.line(), left.line(), right.line())
	}
	for _, part := range []block{left, right} {
		for i := range part.items {
			if it := &part.items[i]; it.place() != (Register{part.table, part.first + uint16(it.at)}) || it.at+it.size() > part.count {
				t.Fatalf("%s: %s at %d", part.line(), it.ID, it.at)
			}
		}
		whole(t, &part)
	}
}

func FuzzPlan(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 1, 0, 1, 0, 5, 3, 2, 1}, uint8(0), uint8(125))
	f.Add([]byte{0, 0, 0, 0, 6, 0, 0, 2, 6, 0, 0, 5, 2, 255, 255, 0}, uint8(9), uint8(5))
	f.Fuzz(func(t *testing.T, b []byte, gap, most uint8) {
		u := Unit{ID: "u", Address: 1, Gap: int(gap), MaxRegisters: int(most)}
		for i := 0; i+4 <= len(b); i += 4 {
			u.Points = append(u.Points, Point{ID: drivers.PointID(fmt.Sprint(i)), Table: Table(b[i] % 4), Type: Type(b[i+1] % 9),
				Address: uint16(b[i+2])<<8 | uint16(b[i+3]), Every: time.Duration(b[i]/128) * time.Second, Bit: -1})
		}
		d, err := New(Config{Name: "b", Endpoint: "tcp://h", Units: []Unit{u}})
		if err != nil {
			return
		}
		seen := map[drivers.PointID]int{}
		for i := range d.blocks {
			blk := &d.blocks[i]
			limit := blk.unit.MaxRegisters
			if blk.table.bits() {
				limit *= 16
			}
			if blk.count < 1 || blk.count > limit || int(blk.first)+blk.count > 1<<16 {
				t.Fatalf("%s: limit %d", blk.line(), limit)
			}
			reach := 0
			for j := range blk.items {
				it := &blk.items[j]
				seen[it.ID]++
				if it.place() != (Register{blk.table, blk.first + uint16(it.at)}) || it.at+it.size() > blk.count || it.Every != blk.every {
					t.Fatalf("%s: %s at %d", blk.line(), it.ID, it.at)
				}
				if it.at-reach > u.Gap {
					t.Fatalf("%s: reads over %d addresses before %s", blk.line(), it.at-reach, it.ID)
				}
				reach = max(reach, it.at+it.size())
			}
			if reach != blk.count {
				t.Fatalf("%s: nobody asked for its end", blk.line())
			}
			whole(t, blk)
		}
		for _, p := range u.Points {
			if seen[p.ID] != 1 {
				t.Fatalf("%s is in %d requests", p.ID, seen[p.ID])
			}
		}
	})
}

func TestFaultsOfTheConfiguration(t *testing.T) {
	_, err := New(Config{Name: "north", Endpoint: "udp://h", Units: []Unit{
		{ID: "a", Address: 1, Gap: 200, MaxRegisters: 126, TurnAround: -1, Points: []Point{
			{ID: "x", Table: Input, Writable: true}, {ID: "x", Type: U32, Address: 65535}, {ID: "b", Type: U16, Bit: 3},
			{ID: "c", Type: Bool, Bit: 16}, {ID: "d", Min: 5, Max: 1}, {ID: "e", Table: 9}, {ID: "f", ReadBack: &Register{}},
		}},
		{ID: "b", Address: 1, MaxRegisters: 2, Points: []Point{{ID: "g", Type: F64}}},
	}})
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{`modbus bus "north"`, `unknown scheme "udp"`, "gap 200", "max registers 126", "a pause is negative",
		"the input table cannot be written", `"x" is empty or there twice`, "ends beyond address 65535", "bit 3 of u16", "bit 16",
		"min 5 is above max 1", "unknown table or type", "read-back is for what is written", "unit 1 is there twice: a and b",
		"f64 takes 4 registers, a request to this unit may have 2"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in:\n%v", want, err)
		}
	}
}
