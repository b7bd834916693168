package configs

import (
	"fmt"
	"log/slog"
)

// Secret is a password or the like. However it is printed, logged or encoded, alone or inside anything else, it shows as
// ***; only Reveal gives the text. It is no string, since printers show an unexported field of a kind they know without
// asking its methods.
type Secret struct{ text *string }

// NewSecret hides a text.
func NewSecret(text string) Secret { return Secret{&text} }

const hidden = "***"

// Reveal is the text, for those who must send it. The zero value's is "".
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Empty says whether there is no text.
func (s Secret) Empty() bool { return s.Reveal() == "" }

// String is ***.
func (s Secret) String() string { return hidden }

// GoString is ***.
func (s Secret) GoString() string { return hidden }

// Format writes *** whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// MarshalText is ***, for JSON, YAML and other encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalYAML is ***.
func (s Secret) MarshalYAML() (any, error) { return hidden, nil }

// LogValue is ***.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
