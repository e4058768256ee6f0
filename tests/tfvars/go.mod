module tfvars

go 1.18

require (
	github.com/hashicorp/hcl/v2 v2.17.0
	github.com/zclconf/go-cty v1.13.2
)

require (
	github.com/agext/levenshtein v1.2.1 // indirect
	github.com/apparentlymart/go-textseg/v13 v13.0.0 // indirect
	github.com/mitchellh/go-wordwrap v0.0.0-20150314170334-ad45545899c7 // indirect
	golang.org/x/text v0.3.8 // indirect
)
