package bandstand

import "encoding/json"

// ToolSpec is a tool as a model may be told of it.
type ToolSpec struct {
	// Name is of letters, digits, _ and -.
	Name string
	// Description is when to use it. Left empty, without Parameters: the model is told what the host knows of it.
	Description string
	// Parameters is a JSON Schema of the arguments; nil: {"type":"object"}.
	Parameters any
}

// Tools gives the tools that the operator granted, in the order of the grant. Grant tools.
func Tools() ([]ToolSpec, error) { return hostToolsList() }

// CallTool calls a tool with an object and waits for its output. A tool that fails is a *HostError with its own code and
// message, one that dies has its class as the code (trap, limit, timeout); this agent goes on. Grant tools.
func CallTool(name string, arguments any) (json.RawMessage, error) {
	text, err := argument(arguments)
	if err != nil {
		return nil, err
	}
	return hostToolsCall(name, text)
}
