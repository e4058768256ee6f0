// Reads a .tfvars.json file from standard input as Terraform does, with the parser that Terraform has, and prints what
// the variables are as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

func check(diagnostics hcl.Diagnostics) {
	if diagnostics.HasErrors() {
		fmt.Fprintln(os.Stderr, diagnostics)
		os.Exit(1)
	}
}

func main() {
	source, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	file, diagnostics := hcljson.Parse(source, "x.tfvars.json")
	check(diagnostics)
	attributes, diagnostics := file.Body.JustAttributes()
	check(diagnostics)
	variables := map[string]ctyjson.SimpleJSONValue{}
	for name, attribute := range attributes {
		if !hclsyntax.ValidIdentifier(name) {
			fmt.Fprintf(os.Stderr, "%s cannot name a variable\n", name)
			os.Exit(1)
		}
		value, diagnostics := attribute.Expr.Value(nil)
		check(diagnostics)
		variables[name] = ctyjson.SimpleJSONValue{Value: value}
	}
	if err := json.NewEncoder(os.Stdout).Encode(variables); err != nil {
		panic(err)
	}
}
