package fgsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/projections/functions"
)

// decided are the settings that decide something here.
type decided struct {
	FuncName     string    `json:"func_name"`
	Package      string    `json:"package"`
	Runtime      string    `json:"runtime"`
	Handler      string    `json:"handler"`
	Timeout      *int64    `json:"timeout"`
	MemorySize   *int64    `json:"memory_size"`
	UserData     *string   `json:"user_data"`
	Agency       *string   `json:"xrole"`
	Description  string    `json:"description"`
	CodeType     string    `json:"code_type"`
	CodeURL      string    `json:"code_url"`
	CodeFilename string    `json:"code_filename"`
	FuncCode     *funcCode `json:"func_code"`
	Strategy     *strategy `json:"strategy_config"`
}

type funcCode struct {
	File string `json:"file"`
	Link string `json:"link"`
}

// read decodes a request twice: what decides something here, and everything, to be given back.
func (c *call) read() (decided, settings, error) {
	var d decided
	s := settings{}
	if err := c.decode(&s); err != nil {
		return d, s, err
	}
	for name := range s {
		if strings.ToLower(name) != name { // no setting is written so, and the decoder would take it for one
			delete(s, name)
		}
	}
	if b, err := json.Marshal(s); err != nil || json.Unmarshal(b, &d) != nil {
		if err := c.decode(&d); err != nil { // which says where
			return d, s, err
		}
	}
	return d, s, s.check()
}

// apply puts the settings of a request over a version's. A setting that is absent stays as it was; strict asks for all that a
// new function must have.
func (d decided) apply(v *functions.Version, strict bool) error {
	if strict || d.Runtime != "" {
		if err := CheckRuntime(d.Runtime); err != nil {
			return err
		}
	}
	if strict || d.Handler != "" {
		if err := CheckHandler(d.Handler, d.Runtime); err != nil {
			return err
		}
	}
	if d.Strategy != nil && d.Strategy.PerInstance > 1 {
		return fault("FSS.1026", fmt.Sprintf("concurrent_num %d is not available: an instance takes one request, and ends with it", d.Strategy.PerInstance))
	}
	if most := d.Strategy.max(); most != nil {
		if err := checkMax(*most); err != nil {
			return err
		}
	}
	var err error
	if d.Timeout == nil && strict {
		return fault("FSS.1008", "timeout is missing: the seconds that an attempt may take")
	} else if d.Timeout != nil {
		if v.Limits.Timeout, err = Timeout(*d.Timeout); err != nil {
			return err
		}
	}
	if d.MemorySize == nil && strict {
		return fault("FSS.1007", "memory_size is missing: the MB that an attempt may take")
	} else if d.MemorySize != nil {
		if v.Limits.Memory, err = Memory(*d.MemorySize); err != nil {
			return err
		}
	}
	if utf8.RuneCountInString(d.Description) > maxDescription {
		return fault("FSS.1019", fmt.Sprintf("the description has more than %d characters", maxDescription))
	}
	if d.UserData != nil {
		if v.Env, err = UserData(*d.UserData); err != nil {
			return err
		}
	}
	if d.Agency != nil {
		if v.Agency = *d.Agency; v.Agency != "" && domain.CheckAlias(v.Agency) != nil {
			return fault("FSS.1021", fmt.Sprintf("xrole %q is not the name of an agency: 1 to 63 letters, digits, . _ and -", short(v.Agency, 70)))
		}
	}
	return nil
}

// keep reads and stores the code of a request.
func (s *Server) keep(ctx context.Context, d decided, limits domain.Limits) (door.Code, door.Kept, error) {
	if d.FuncCode == nil || d.FuncCode.File == "" {
		if d.CodeURL != "" || d.FuncCode != nil && d.FuncCode.Link != "" {
			return door.Code{}, door.Kept{}, fault("FSS.1006", "code is not fetched from an address: send it in func_code.file, code_type zip")
		}
		return door.Code{}, door.Kept{}, fault("FSS.1012", "func_code.file is missing: the base64 of a WebAssembly module, or of a zip that holds one")
	}
	code, err := Code(d.CodeType, d.CodeFilename, d.FuncCode.File)
	if err != nil {
		return door.Code{}, door.Kept{}, err
	}
	kept, err := s.Door.Keep(ctx, code, limits)
	if r := asRejection(err); r != nil && r.Code != domain.CodeUnavailable {
		err = because("FSS.1011", r)
	}
	return code, kept, err
}
