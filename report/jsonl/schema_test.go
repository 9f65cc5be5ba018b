package jsonl

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"

	"github.com/lastack/lastack/fsm"
)

var update = flag.Bool("update", false, "write the schema file anew")

// TestSchemaFile keeps the schema file to what the types say.
func TestSchemaFile(t *testing.T) {
	got := schemaOf(t)
	if *update {
		if err := os.WriteFile("schema.json", got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("schema.json (-want +got); after a change of the types run go generate:\n%s", d)
	}
}

// schemaOf is the schema of a line: one of the types.
func schemaOf(t *testing.T) []byte {
	t.Helper()
	root := &jsonschema.Schema{
		Version: jsonschema.Version, Title: "lastack/1",
		Description: "One line of lastack --jsonl.", Definitions: jsonschema.Definitions{},
	}
	for _, line := range []any{Meta{}, Flow{}, Finding{}, Group{}, States{}, Ports{}, Source{}, Health{}, Summary{}} {
		// Fields may be added without a new version, so unknown ones are allowed.
		r := jsonschema.Reflector{AllowAdditionalProperties: true, Mapper: mapped, Anonymous: true}
		s := r.Reflect(line)
		for name, d := range s.Definitions {
			root.Definitions[name] = d
		}
		root.OneOf = append(root.OneOf, &jsonschema.Schema{Ref: s.Ref})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	if err := e.Encode(root); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// mapped gives the words of this package their values.
func mapped(typ reflect.Type) *jsonschema.Schema {
	words := func(list ...string) *jsonschema.Schema {
		s := &jsonschema.Schema{Type: "string"}
		for _, w := range list {
			s.Enum = append(s.Enum, w)
		}
		return s
	}
	var states []string
	for st := fsm.Closed; st <= fsm.TimeWait; st++ {
		states = append(states, st.String())
	}
	switch typ {
	case reflect.TypeFor[Time]():
		return &jsonschema.Schema{Type: "string", Pattern: `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$`}
	case reflect.TypeFor[State]():
		return words(states...)
	case reflect.TypeFor[Endpoint]():
		return words("client", "server")
	case reflect.TypeFor[Severity]():
		return words("error", "warning", "info")
	case reflect.TypeFor[Confidence]():
		return words("certain", "likely", "possible")
	case reflect.TypeFor[Who]():
		return words("client_app", "server_app", "client_host", "server_host", "path", "middlebox", "capture", "none", "unknown")
	case reflect.TypeFor[QualityName]():
		return words("midstream", "one_way", "capture_loss", "duplicates", "snapped", "filtered", "clock_step",
			"ends_early", "evicted")
	case reflect.TypeFor[map[State]int64](), reflect.TypeFor[map[State]uint64]():
		zero := json.Number("0")
		return &jsonschema.Schema{
			Type: "object", PropertyNames: words(states...),
			AdditionalProperties: &jsonschema.Schema{Type: "integer", Minimum: zero},
		}
	}
	return nil
}
