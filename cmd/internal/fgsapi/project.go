package fgsapi

import (
	"crypto/sha256"
	"net/http"

	"deed/domain"
)

// The names that FunctionGraph gives to a project's status log, before the project's id.
const (
	logGroup  = "function-async-log-group-"
	logStream = "function-async-log-stream-"
)

// enableStatusLog keeps the wish. Every change of status stands in the log of invocations in any case.
func (s *Server) enableStatusLog(c *call) error {
	if !s.Registry.StatusLog(c.project) {
		if err := s.Door.Note(c.r.Context(), domain.StatusLogEnabled{Project: c.project}); err != nil {
			return err
		}
	}
	return c.empty(http.StatusOK)
}

func (s *Server) showStatusLog(c *call) error {
	if !s.Registry.StatusLog(c.project) {
		return fault("FSS.0404", "the asynchronous status log of the project is not enabled: EnableAsyncStatusLog does it")
	}
	group, stream := logGroup+c.project, logStream+c.project
	return c.reply(http.StatusOK, object{"group_name": group, "group_id": named(group), "stream_name": stream, "stream_id": named(stream)})
}

// named is an id made of a name, the same every time.
func named(name string) string {
	sum := sha256.Sum256([]byte(name))
	id := domain.UUID(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // version 8: made in a way of one's own
	return id.String()
}

func (s *Server) listQuotas(c *call) error {
	all := s.Registry.List(c.project)
	const mb = 1 << 20
	quota := func(kind string, quota, used int64, unit string) object {
		out := object{"type": kind, "quota": quota, "used": used}
		if unit != "" {
			out["unit"] = unit
		}
		return out
	}
	return c.reply(http.StatusOK, object{"quotas": object{"resources": []object{
		quota("fgs_func_num", maxFunctions, int64(len(all)), ""),
		quota("fgs_func_code_size", maxCodeSize/mb, (codeSize(all)+mb-1)/mb, "MB"),
		quota("fgs_func_occurs", domain.MaxMaxInstances, 0, ""),
		quota("fgs_on_demand_instance_limit", domain.MaxMaxInstances, 0, ""),
	}}})
}
