package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"gacp-erp.internal/glasshouse/gateway"
)

func newMQTT() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mqtt",
		Short: "Prepare the MQTT broker",
		Args:  exactly(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMQTTConfig())
	return cmd
}

func newMQTTConfig() *cobra.Command {
	var file, out string
	var o gateway.MosquittoOptions
	var force bool
	cmd := &cobra.Command{
		Use:   "config -c FILE",
		Short: "Make a Mosquitto configuration with certificates and rights for each device",
		Long: `Make the configuration of a Mosquitto broker for an MQTT bus. Clients come by TLS with a certificate whose CN is their
device id, and each may write what it measures and read what it is asked, on its own topics; the gateway's certificate has
the gateway's id. The rights are those of the configuration's devices and their profiles, so make it anew when these change.

Prints both files, or writes ` + gateway.MosquittoConfig + ` and ` + gateway.MosquittoACL + ` into a folder. Nothing is overwritten without --force.`,
		Example: `  glasshouse mqtt config -c /etc/glasshouse/glasshouse.yaml --out ` + gateway.MosquittoDir + `
  glasshouse mqtt config --out ` + gateway.MosquittoDir + ` --force && systemctl reload mosquitto`,
		Args: exactly(0),
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&o.Bus, "bus", "", "the MQTT bus, if there are several")
	cmd.Flags().StringVar(&out, "out", "", "write the files into this folder instead of printing them")
	cmd.Flags().StringVar(&o.Dir, "dir", "", "where the broker looks for its files (default: --out, else "+gateway.MosquittoDir+")")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite files that are there")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config, err := load(cmd, file)
		if err != nil {
			return err
		}
		if o.Dir == "" && out != "" {
			if o.Dir, err = filepath.Abs(out); err != nil {
				return err
			}
		}
		files, err := gateway.Mosquitto(config, o)
		if err != nil {
			return said(cmd, err)
		}
		if out == "" {
			fmt.Fprintf(cmd.OutOrStdout(), "### %s\n%s\n### %s\n%s", gateway.MosquittoConfig, files.Config, gateway.MosquittoACL, files.ACL)
			return nil
		}
		return writeMosquitto(cmd, out, files, force)
	}
	return cmd
}

// writeMosquitto writes both files, or neither when one may not be overwritten.
func writeMosquitto(cmd *cobra.Command, dir string, files gateway.MosquittoFiles, force bool) error {
	contents := []struct {
		path string
		text []byte
	}{{filepath.Join(dir, gateway.MosquittoACL), files.ACL}, {filepath.Join(dir, gateway.MosquittoConfig), files.Config}}
	for _, c := range contents {
		if _, err := os.Lstat(c.path); err == nil && !force {
			return fmt.Errorf("%s is there already; --force overwrites it", c.path)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, c := range contents {
		// A file that was there keeps its owner and group: they are who may read it.
		if err := os.WriteFile(c.path, c.text, 0o640); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), c.path)
	}
	return nil
}
