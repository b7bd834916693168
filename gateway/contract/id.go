package contract

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// ID is a uuid of any version. The zero ID names nothing and is never written.
type ID [16]byte

// namespaceName is the DNS name whose uuid v5 is the namespace of the uuids derived here. It must never change, or every
// sensor would become another one to the platform.
const namespaceName = "glasshouse.gacp-erp.internal"

// NewID is a new uuid v7: ordered by time, unique by chance.
func NewID() ID { return ID(uuid.Must(uuid.NewV7())) }

// ParseID reads the 36 characters of a uuid, upper or lower case.
func ParseID(s string) (ID, error) {
	if !isUUID(s) {
		return ID{}, fmt.Errorf("%q is no uuid (8-4-4-4-12 hexadecimal digits): %w", s, ErrInvalid)
	}
	return ID(uuid.MustParse(s)), nil
}

// SensorID is the platform's name of a sensor that the configuration gives none: a uuid v5 of gateway, device and point.
func SensorID(gateway, device, point string) string { return derived("sensor", gateway, device, point) }

// DerivedSensorID is the sensorId of a value no single sensor measures, derived or fused: a uuid v5 of gateway, zone and
// quantity.
func DerivedSensorID(gateway, zone, quantity string) string {
	return derived("derived", gateway, zone, quantity)
}

func derived(parts ...string) string {
	namespace := uuid.NewSHA1(uuid.NameSpaceDNS, []byte(namespaceName))
	return uuid.NewSHA1(namespace, []byte(strings.Join(parts, "\x00"))).String()
}

// String is the 36 characters in lower case.
func (id ID) String() string {
	text := id.text()
	return string(text[:])
}

// text is String without an allocation.
func (id ID) text() (text [36]byte) {
	hex.Encode(text[0:8], id[0:4])
	text[8] = '-'
	hex.Encode(text[9:13], id[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], id[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], id[8:10])
	text[23] = '-'
	hex.Encode(text[24:36], id[10:16])
	return text
}

// isUUID tells whether s is the plain text form of a uuid; uuid.Parse alone takes four other forms too.
func isUUID(s string) bool {
	return len(s) == 36 && uuid.Validate(s) == nil
}
