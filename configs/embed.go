package configs

import (
	"embed"
	"io/fs"
)

//go:embed examples/*.yaml
var files embed.FS

// Examples are whole configurations by name: greenhouse.yaml, observe.yaml, demo.yaml. A test loads each of them.
func Examples() fs.FS {
	examples, err := fs.Sub(files, "examples")
	if err != nil {
		return files // cannot be: the path is valid
	}
	return examples
}
